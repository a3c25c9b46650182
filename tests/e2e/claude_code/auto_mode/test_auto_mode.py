"""Auto mode, Claude Code's default: before a risky tool call a model is asked whether it may run.

The request offers a server that judges calls itself to do so (`safeguards`).  A chat completions server cannot, so the
client asks its own question, and blocks the call unless the answer has `<block>no` within 64 tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from asgi_llmgate.testing.model_script import ReceivedRequest, call, say

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab

RISKY = "sh -c 'touch made-by-bash'"
"""Auto mode lets a plain `touch` in its folder pass; of a shell in the shell it asks whether it may."""


@pytest.mark.parametrize(
    ("verdict", "runs"),
    [("<block>no", True), ("<block>yes</block><reason>no</reason>", False)],
    ids=["let it", "block it"],
)
def test_auto_mode_gets_an_answer_to_its_safety_question(
    lab: Callable[..., Lab], claude: ClaudeCode, verdict: str, runs: bool
) -> None:
    gate = lab(
        [
            call("Bash", command=RISKY, description="Make a file"),
            say(verdict).when(lambda request: request.is_safety_question).always(),
            say("Finished."),
        ]
    )
    run = claude("Make a file.", "--permission-mode", "auto", gate=gate)
    assert (run.result, run.is_error) == ("Finished.", False)
    assert (run.folder / "made-by-bash").exists() is runs
    question = next(request for request in gate.model.requests if request.is_safety_question)
    assert RISKY in question.prompt
    assert question.body["stop"] == ["</block>"]


def test_a_reasoning_model_is_told_not_to_think_the_answer_away(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    def thinks(request: ReceivedRequest) -> bool:
        return request.is_safety_question and request.body.get("reasoning_effort") != "none"

    gate = lab(
        [
            say("", reasoning="Let me see what this command would do.").finish("length").when(thinks).always(),
            say("<block>no</block>").when(lambda request: request.is_safety_question).always(),
            call("Bash", command=RISKY, description="Make a file"),
            say("Finished."),
        ],
        models=[{"match": "*", "use": "openai/gpt-5.2"}],
    )
    run = claude("Make a file.", "--permission-mode", "auto", gate=gate)
    assert (run.result, run.is_error) == ("Finished.", False)
    assert (run.folder / "made-by-bash").exists()
    [question] = (request for request in gate.model.requests if request.is_safety_question)
    assert question.body["max_completion_tokens"] == 64
    assert gate.model.chats[0].body["reasoning_effort"] == "medium"


def test_safeguards_are_left_out_and_reported(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab([say("Nothing to do.")])
    claude("Do nothing.", "--permission-mode", "auto", gate=gate)
    assert "safeguards" in gate.calls[-1].body
    [request] = gate.model.requests
    assert "safeguards" not in request.body
    [record] = gate.records()
    assert "safeguards" in record["llmgate.dropped"]
