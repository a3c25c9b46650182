"""How much the model is asked to think, and what is seen of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.testing.model_script import ReceivedRequest, call, say

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode, Run
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites

REASONING = [{"match": "*", "use": "openai/gpt-5.2"}]
THOUGHT = "The user wants to be greeted."


def thoughts(run: Run) -> list[str]:
    blocks = [block for event in run.events if event["type"] == "assistant" for block in event["message"]["content"]]
    return [block["thinking"] for block in blocks if block["type"] == "thinking"]


@pytest.mark.parametrize("effort", ["low", "high", "xhigh", "max"])
def test_the_effort_is_asked_for_and_the_thinking_is_shown(
    lab: Callable[..., Lab], claude: ClaudeCode, effort: str
) -> None:
    gate = lab([say("Hello.", reasoning=THOUGHT)], models=REASONING)
    run = claude("Greet me.", "--effort", effort, gate=gate)
    assert (run.result, run.is_error, thoughts(run)) == ("Hello.", False, [THOUGHT])
    [request] = gate.model.chats
    assert request.body["reasoning_effort"] == ("xhigh" if effort == "max" else effort)


@pytest.mark.parametrize(
    ("budget", "way", "effort"), [("0", "disabled", "none"), ("4000", "enabled", "low")], ids=["off", "budget"]
)
def test_a_model_that_is_given_a_budget(
    lab: Callable[..., Lab], claude: ClaudeCode, budget: str, way: str, effort: str
) -> None:
    """The client asks its older models by tokens and not by effort."""
    gate = lab([say("Hello.", reasoning=THOUGHT)], models=REASONING)
    run = claude("Greet me.", "--model", "claude-haiku-4-5", gate=gate, MAX_THINKING_TOKENS=budget)
    assert (run.result, run.is_error) == ("Hello.", False)
    assert thoughts(run) == ([THOUGHT] if way == "enabled" else [])
    assert gate.calls[-1].body["thinking"]["type"] == way
    assert gate.model.chats[-1].body["reasoning_effort"] == effort


def test_the_effort_of_the_last_message_holds(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab([say("Hello.").always()], models=REASONING)
    claude("Greet me.", "--effort", "high", gate=gate)
    claude("Again.", "--continue", "--effort", "low", gate=gate)
    marks = [message["output_config"] for message in gate.calls[-1].body["messages"] if "output_config" in message]
    assert marks == [{"effort": "high"}, {"effort": "low"}]
    assert [request.body["reasoning_effort"] for request in gate.model.chats] == ["high", "low"]


@pytest.mark.parametrize(
    ("dialect", "field", "later"),
    [("vllm", "reasoning", []), ("deepseek", "reasoning_content", [" "])],
)
def test_a_tool_loop_keeps_its_thinking_until_it_is_finished(
    lab: Callable[..., Lab], claude: ClaudeCode, dialect: str, field: str, later: list[str]
) -> None:
    gate = lab(
        [
            say("", reasoning=THOUGHT) + call("Bash", command="true", description="Do nothing"),
            say("Done."),
            say("Hello again."),
        ],
        backend={"dialect": dialect},
    )
    claude("Greet me.", "--allowedTools", "Bash", gate=gate)
    claude("Again.", "--continue", gate=gate)
    kept: list[Any] = [
        [message[field] for message in request.messages if field in message] for request in gate.model.chats
    ]
    # A session that is continued has no thinking any more: then DeepSeek gets the placeholder.
    assert kept == [[], [THOUGHT], later]


def test_thinking_of_ours_does_not_reach_a_server_of_anthropics_wire(
    lab: Callable[..., Lab], claude: ClaudeCode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It refuses a signature that is not its own, and with it the rest of the session."""
    behind = lab([say("Hello from behind."), say("Still behind.")])
    monkeypatch.setenv("BEHIND", behind.token())
    dialect = {"base": "anthropic", "key_header": "authorization"}
    front = lab(
        [
            say("", reasoning=THOUGHT) + call("Bash", command="true", description="Do nothing"),
            say("Hello.", reasoning="Done."),
            say("Back again."),
        ],
        backend={"dialect": "deepseek"},
        backends={"native": {"base_url": behind.url + "/v1", "dialect": dialect, "api_key": "env:BEHIND"}},
        models=[{"match": "claude-opus*", "use": "openai/deepseek-reasoner"}, {"match": "*", "use": "native"}],
        usage={"access_log": {"format": "json", "file": str(tmp_path / "front.log")}},
    )
    words = [
        claude(prompt, *options, "--allowedTools", "Bash", gate=front).result
        for prompt, *options in (
            ("Greet me.", "--model", "claude-opus-5-5"),
            ("Again.", "--continue", "--model", "claude-haiku-4-5"),
            ("Once more.", "--continue", "--model", "claude-haiku-4-5"),
            ("And now?", "--continue", "--model", "claude-opus-5-5"),
        )
    ]
    assert words == ["Hello.", "Hello from behind.", "Still behind.", "Back again."]
    told = [block["type"] for call in front.calls for block in blocks_of(call) if block["type"] == "thinking"]
    assert told, "the client sends the thinking back"
    assert [block for call in behind.calls for block in blocks_of(call) if block["type"] == "thinking"] == []


def blocks_of(request: ReceivedRequest) -> list[dict[str, Any]]:
    messages = [message["content"] for message in request.messages]
    return [block for content in messages if isinstance(content, list) for block in content]
