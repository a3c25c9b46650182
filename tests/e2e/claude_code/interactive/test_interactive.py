"""Claude Code in a terminal: what its user reads, answers, chooses and stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.testing.model_script import ReceivedRequest, Turn, call, refuse, say
from tests.e2e.claude_code.interactive.terminal import in_a_terminal

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites

THOUGHT = "A file is wanted."
PLAIN, THINKING = "plain", "deepseek-reasoner"
MODELS: Any = {
    "backend": {"dialect": "deepseek"},
    "backends": {"other": {"dialect": "generic"}},
    "models": [{"match": "claude-opus*", "use": f"openai/{THINKING}"}, {"match": "*", "use": f"other/{PLAIN}"}],
}


def is_small(request: ReceivedRequest) -> bool:
    """For a title, or whether a model is there."""
    return not request.tool_names


def is_foreign(request: ReceivedRequest) -> bool:
    """A plain model's server is strict about the fields of a message."""
    fields = {name for message in request.messages for name in message}
    return request.body["model"] == PLAIN and bool(fields - {"role", "content", "tool_calls", "tool_call_id", "name"})


SMALL = say("A title").when(is_small).always()
STRICT = refuse(422, "Extra inputs are not permitted").when(is_foreign).always()


def test_a_thinking_model_is_left_for_a_plain_one_and_comes_back(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab(
        [
            SMALL,
            STRICT,
            say("I will.", reasoning=THOUGHT) + call("Write", file_path="a.txt", content="hi\n"),
            say("It is written.", reasoning="That was easy."),
            call("Bash", command="cat a.txt", description="Show it"),
            say("It says hi."),
            call("Read", file_path="a.txt"),
            say("It still does.", reasoning="No change."),
        ],
        **MODELS,
    )
    with in_a_terminal(claude, gate, "--model", "claude-opus-5-5", "--permission-mode", "default") as terminal:
        terminal.type("Write a.txt.")
        terminal.say_yes("Do you want to create a.txt?")
        terminal.wait_for("It is written.")
        terminal.type("/model claude-haiku-4-5")
        terminal.say_yes("Switch model?")
        terminal.wait_for("Set model to")
        terminal.type("What does it say?")
        terminal.wait_for("It says hi.")
        terminal.type("/model claude-opus-5-5")
        terminal.say_yes("Switch model?")
        terminal.wait_for("Set model to", times=2)
        terminal.type("Look again.")
        terminal.wait_for("It still does.")
    assert gate.model.unused == []
    models = [request.body["model"] for request in gate.model.chats if not is_small(request)]
    assert models == [THINKING, THINKING, PLAIN, PLAIN, THINKING, THINKING]
    assert {record["status"] for record in gate.records()} == {200}
    assert {record.get("llmgate.attempts", 1) for record in gate.records()} == {1}


def test_escape_stops_the_model_at_once(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab([SMALL, say("Here they are:\n\n1, 2, 3, 4").stall(after=7), say("Good.")])
    with in_a_terminal(claude, gate) as terminal:
        terminal.type("Count to a million.")
        terminal.wait_for("Here they are:")
        terminal.press("Escape")
        terminal.wait_for("Interrupted")
        stalled = next(request for request in gate.model.chats if not is_small(request))
        assert stalled.gone.wait(10)
        terminal.type("Thank you.")
        terminal.wait_for("Good.")
    assert [record["outcome"] for record in gate.records()].count("client_disconnect") == 1


def test_compact_makes_the_conversation_short(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    summary = say("<summary>We spoke of the sea.</summary>")
    gate = lab([SMALL, summary.when(lambda request: "<summary>" in request.prompt), say("It is blue."), say("Salty.")])
    with in_a_terminal(claude, gate) as terminal:
        terminal.type("What colour is the sea?")
        terminal.wait_for("It is blue.")
        terminal.type("/compact")
        terminal.wait_for("Compacted")
        terminal.type("What does it taste of?")
        terminal.wait_for("Salty.")
    told = str(gate.model.chats[-1].messages)
    assert "We spoke of the sea." in told
    assert gate.model.unused == []


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (refuse(402, "Insufficient credits"), "402 the gateway's account with the model server has no quota"),
        (refuse(400, "The image is too small: it has 3 pixels"), "it has 3 pixels"),
    ],
    ids=["no credit", "a bad request"],
)
def test_an_error_is_shown_in_words(lab: Callable[..., Lab], claude: ClaudeCode, refusal: Turn, words: str) -> None:
    gate = lab([refusal.always()])
    with in_a_terminal(claude, gate) as terminal:
        terminal.type("Hello?")
        terminal.wait_for("API Error")
        assert words in " ".join(terminal.screen.split()), terminal.screen
