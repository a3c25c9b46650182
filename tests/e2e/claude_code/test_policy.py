"""What Claude Code does when a rule or a limit says no, tried with Claude Code."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from asgi_llmgate.testing.model_script import say

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab

OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5"
ENTITLED: dict[str, Any] = {
    "policy": {"rules": [{"name": "entitled", "when": "llm.model in jwt.llms.openai", "reason": "ask for this model"}]},
    "models": [
        {"match": "claude-opus-*", "use": "openai/gpt-4o"},
        {"match": "*", "use": "openai/gpt-4o-mini"},
    ],
}


def asked(gate: Lab) -> list[tuple[int, str]]:
    """Status and model of each call so far; none where its body was not read."""
    return [(record["status"], record.get("llmgate.client.model", "")) for record in gate.records()]


def test_it_uses_its_fallback_model_where_a_rule_denies_the_other(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab([say("Hello.").always()], **ENTITLED)
    run = claude("Say hello.", "--model", OPUS, "--fallback-model", HAIKU, gate=gate)
    assert (run.result, run.is_error) == ("Hello.", False)
    assert asked(gate) == [(403, OPUS), (200, HAIKU)]
    assert {request.body["model"] for request in gate.model.requests} == {"gpt-4o-mini"}


def test_without_a_fallback_it_prints_the_reason_and_the_model(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab(**ENTITLED)
    run = claude("Say hello.", "--model", OPUS, gate=gate)
    assert run.is_error
    assert run.result.endswith("API Error: 403 ask for this model (model: claude-opus-5-5)")
    assert asked(gate) == [(403, OPUS)]


def test_a_denied_model_as_a_400_is_tried_more_often_and_not_taken_for_a_bad_login(
    lab: Callable[..., Lab], claude: ClaudeCode
) -> None:
    settings = {**ENTITLED, "policy": {**ENTITLED["policy"], "denied_model_status": 400}}
    gate = lab(**settings)
    run = claude("Say hello.", "--model", OPUS, gate=gate, refusals=None)
    assert run.result == "API Error: 400 ask for this model (model: claude-opus-5-5)"
    assert set(asked(gate)) == {(400, OPUS)}
    assert len(asked(gate)) > 1


@contextmanager
def one_call_open(gate: Lab) -> Iterator[Callable[[], None]]:
    """A call of the same team that runs until the function is called."""
    body = {"model": OPUS, "max_tokens": 50, "stream": True, "messages": [{"role": "user", "content": "hold"}]}
    headers = {"authorization": f"Bearer {gate.token()}"}
    with httpx.stream("POST", f"{gate.url}/v1/messages", json=body, headers=headers, timeout=60) as open_call:
        assert open_call.status_code == 200
        yield open_call.close


def test_a_limit_that_is_over_soon_is_waited_for(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    held = say("one two three").stall(after=2).when(lambda request: request.prompt == "hold")
    gate = lab([held, say("Hello.")], limits=[{"name": "teams", "key": "jwt.team", "concurrency": 1}])
    with one_call_open(gate) as end:

        def end_after_a_refusal() -> None:
            deadline = time.monotonic() + 50
            while time.monotonic() < deadline and not (gate.log.exists() and b"RateLimit" in gate.log.read_bytes()):
                time.sleep(0.05)
            end()

        watcher = threading.Thread(target=end_after_a_refusal)
        watcher.start()
        run = claude("Say hello.", "--model", OPUS, gate=gate)
        watcher.join()
    assert (run.result, run.is_error) == ("Hello.", False)
    assert (429, "") in asked(gate)
    assert asked(gate)[-1] == (200, OPUS)


def test_a_limit_that_lasts_ends_it_at_once_with_our_words(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab([say("Hello.")], limits=[{"name": "teams", "key": "jwt.team", "requests": "1/day"}])
    body = {"model": HAIKU, "max_tokens": 50, "messages": [{"role": "user", "content": "the one for today"}]}
    headers = {"authorization": f"Bearer {gate.token()}"}
    assert httpx.post(f"{gate.url}/v1/messages", json=body, headers=headers, timeout=60).status_code == 200
    run = claude("Say hello.", "--model", OPUS, gate=gate)
    assert run.is_error
    assert run.result.endswith(
        "Request rejected (429) · too many requests: 'teams' is limited to 1/day; try again in 24 hours"
    )
    assert asked(gate) == [(200, HAIKU), (429, OPUS)]
