"""Servers that use their ids again, and servers that want something back that only the client can keep."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.testing.model_script import Turn, raw, say
from tests.e2e.claude_code.client import tool_results
from tests.protocol.responses import call, calls, chunk, counted, sse

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites

REASONING = [{"match": "*", "use": "openai/gpt-5.2"}]


def kimi(command: str, *, reasoning: str = "", **more: Any) -> Turn:
    """The model calls Bash, with the ids that it always has."""
    arguments = json.dumps({"command": command, "description": "A step"})
    entry = call(0, id="functions.Bash:0", name="Bash", args=arguments) | more
    thought = [chunk(reasoning_content=reasoning)] if reasoning else []
    events = [*thought, chunk(content=f"Now {command}."), calls(entry), chunk(finish="tool_calls", usage=counted())]
    return raw(sse(*[{**event, "id": "chatcmpl-7"} for event in events]))


def test_a_session_whose_server_has_one_id_for_all(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    """Claude Code joins messages of one id and loses a call whose id it knows: so it must see neither twice."""
    words = ["one", "two", "three"]
    gate = lab([*[kimi(f"echo {word}") for word in words], say("First."), kimi("echo four"), say("Second.")])
    run = claude("Count.", "--allowedTools", "Bash", gate=gate)
    assert (run.result, run.is_error, run.report["num_turns"]) == ("First.", False, 4)
    again = claude("Go on.", "--continue", "--allowedTools", "Bash", gate=gate)
    assert (again.result, again.is_error) == ("Second.", False)
    last = gate.model.chats[-1]
    assert tool_results(last) == [*words, "four"]
    assistant = [message for message in last.messages if message.get("tool_calls")]
    assert [message["content"] for message in assistant] == [f"Now echo {word}." for word in [*words, "four"]]
    assert {entry["id"] for message in assistant for entry in message["tool_calls"]} == {"functions.Bash:0"}
    seen = [message for message in gate.calls[-1].body["messages"] if message["role"] == "assistant"]
    ids = [block["id"] for message in seen for block in message["content"] if block["type"] == "tool_use"]
    assert len(set(ids)) == len(ids) == 4


def signed(word: str) -> dict[str, Any]:
    return {"google": {"thought_signature": f"of {word}"}}


def test_signatures_come_back_through_the_client(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    """With and without a text of thinking before the call; the client may ask for it without its text."""
    gate = lab(
        [
            kimi("echo one", extra_content=signed("one")),
            kimi("echo two", reasoning="Two is next.", extra_content=signed("two")),
            say("First."),
            kimi("echo three", extra_content=signed("three")),
            say("Second."),
        ],
        models=REASONING,
        backend={"dialect": "generic"},
    )
    run = claude("Count.", "--allowedTools", "Bash", "--effort", "high", gate=gate)
    assert (run.result, run.is_error) == ("First.", False)
    again = claude("Go on.", "--continue", "--allowedTools", "Bash", "--effort", "high", gate=gate)
    assert (again.result, again.is_error) == ("Second.", False)
    last = gate.model.chats[-1]
    entries = [entry for message in last.messages for entry in message.get("tool_calls") or ()]
    assert [entry["extra_content"] for entry in entries] == [signed(word) for word in ("one", "two", "three")]
    assert tool_results(last) == ["one", "two", "three"]
