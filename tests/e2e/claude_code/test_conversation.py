"""What Claude Code does with our answers, tried with Claude Code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asgi_llmgate.testing.model_script import ReceivedRequest, call, say
from tests.e2e.claude_code.client import tool_results

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab


def about(words: str) -> Callable[[ReceivedRequest], bool]:
    return lambda request: words in request.prompt


def test_it_prints_what_the_model_says(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab([say("Hello from a model of ours.")])
    token = gate.token()
    run = claude("Say hello.", gate=gate, token=token)
    assert (run.result, run.is_error) == ("Hello from a model of ours.", False)
    [request] = gate.model.chats
    assert request.body["model"] == "gpt-4o-mini"
    assert request.authorization == "Bearer sk-lab-upstream"
    assert token.encode() not in request.raw
    assert b"x-anthropic-billing-header" not in request.raw


def test_a_turn_with_tools_leaves_the_file_that_the_model_wrote(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab(
        [
            say("I will write it.") + call("Write", file_path="hello.txt", content="hi there\n"),
            call("Bash", command="wc -c hello.txt", description="Count the bytes"),
            call("Read", file_path="hello.txt"),
            say("It is written."),
        ]
    )
    run = claude("Write hello.txt.", "--allowedTools", "Write,Bash,Read", gate=gate)
    assert (run.result, run.is_error, run.report["num_turns"]) == ("It is written.", False, 4)
    assert (run.folder / "hello.txt").read_text() == "hi there\n"
    _, counted, read = tool_results(gate.model.chats[-1])
    assert counted == "9 hello.txt"
    assert "hi there" in read
    assert gate.model.unused == []


def test_two_sub_agents_work_at_once(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    def agent(prompt: str) -> Any:
        return call(
            "Agent", description="Count", prompt=prompt, subagent_type="general-purpose", run_in_background=False
        )

    gate = lab(
        [
            (agent("count the stars") + agent("count the moons")).interleaved(),
            say("42 stars").when(about("count the stars")),
            say("7 moons").when(about("count the moons")),
            say("42 stars and 7 moons"),
        ]
    )
    run = claude("Look at the sky.", gate=gate)
    assert (run.result, run.is_error) == ("42 stars and 7 moons", False)
    stars, moons = tool_results(gate.model.chats[-1])
    assert "42 stars" in stars
    assert "7 moons" in moons
    assert gate.model.unused == []


def test_a_refusal_shows_its_reason_to_the_user(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab()
    run = claude("Say hello.", gate=gate, token=gate.token(team="marketing"))
    assert run.is_error
    assert run.result.endswith("API Error: 403 only the data platform team may use this model")
    assert gate.model.requests == []
    [record] = gate.records()
    assert (record["status"], record["reason"]) == (403, "Authorization")


def test_the_demo_model_writes_a_file_when_asked(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    run = claude("Write hello.txt that says 'hi there'", "--allowedTools", "Write", gate=lab())
    assert (run.folder / "hello.txt").read_text() == "hi there\n"


def test_context_is_answered_by_many_counts_at_once(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab()
    run = claude("/context", gate=gate)
    assert "| System prompt |" in run.result
    assert {request.path for request in gate.calls} == {"/llm/v1/messages/count_tokens"}
    assert len(gate.calls) >= 20
    assert {record["status"] for record in gate.records()} == {200}
    assert gate.model.requests == []
