"""Answers that end otherwise than well, and what Claude Code makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.testing.model_script import ReceivedRequest, Turn, call, refuse, say

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites


UNLIMITED = [{"match": "*", "use": "openai/gpt-4o-mini"}]
NOTHING_DONE = [call("Bash", command="true", description="Do nothing"), say("Done.")]


def is_streamed(request: ReceivedRequest) -> bool:
    return bool(request.body.get("stream"))


def test_an_answer_that_is_too_long_is_gone_on_with(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab([say("It was a dark").finish("length"), say("and stormy night.")])
    run = claude("Tell a story.", gate=gate)
    assert (run.result, run.is_error) == ("and stormy night.", False)
    before, after = gate.model.chats
    assert after.messages[: len(before.messages)] == before.messages
    assert after.messages[len(before.messages)] == {"role": "assistant", "content": "It was a dark"}
    assert after.messages[-1]["role"] == "user"


def test_a_refusal_is_told_to_the_client_as_one(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    """It keeps what came before, says that a classifier stopped the rest, and lets the model go on."""
    gate = lab([say("I had begun to").finish("content_filter"), say("Let us talk of something else.")])
    run = claude("Say something bad.", gate=gate)
    assert (run.result, run.is_error) == ("Let us talk of something else.", False)
    *_, begun, told = gate.model.chats[-1].messages
    assert begun == {"role": "assistant", "content": "I had begun to"}
    assert "stopped by a safety classifier" in told["content"]


def test_a_rate_limit_is_waited_for(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab([refuse(429, "slow down", headers={"retry-after": "1"}), say("Here I am.")])
    run = claude("Hello?", gate=gate)
    assert (run.result, run.is_error) == ("Here I am.", False)
    [waited] = (event for event in run.events if event.get("subtype") == "api_retry")
    assert waited["error_status"] == 429
    assert waited["retry_delay_ms"] >= 1000
    assert [record["status"] for record in gate.records()] == [429, 200]


@pytest.mark.parametrize(("status", "shown"), [(500, 500), (503, 529)])
def test_a_server_that_fails_once_is_asked_again(
    lab: Callable[..., Lab], claude: ClaudeCode, status: int, shown: int
) -> None:
    gate = lab([refuse(status, "not now", type="server_error"), say("Here I am.")])
    run = claude("Hello?", gate=gate)
    assert (run.result, run.is_error) == ("Here I am.", False)
    assert [record["status"] for record in gate.records()] == [shown, 200]


@pytest.mark.parametrize(
    ("refusal", "status", "words"),
    [
        pytest.param(refuse(401, "Incorrect API key"), 502, "the gateway's own credential was refused", id="key"),
        pytest.param(
            refuse(429, "You exceeded your current quota", code="insufficient_quota"), 402, "has no quota", id="quota"
        ),
        pytest.param(
            refuse(404, "The model `gpt-4o-mini` does not exist", code="model_not_found"), 404, "", id="model"
        ),
    ],
)
def test_what_no_retry_can_mend_is_shown_soon(
    lab: Callable[..., Lab], claude: ClaudeCode, refusal: Turn, status: int, words: str
) -> None:
    gate = lab([refusal.always()])
    run = claude("Hello?", gate=gate)
    assert run.is_error
    assert words in run.result
    assert {record["status"] for record in gate.records()} == {status}
    assert len(gate.calls) <= 2


def test_a_stream_cut_in_its_first_block_is_asked_for_again_without_streaming(
    lab: Callable[..., Lab], claude: ClaudeCode
) -> None:
    gate = lab([say("one two three four").cut(after=3).when(is_streamed).always(), say("All of it.")])
    run = claude("Count.", gate=gate)
    assert (run.result, run.is_error) == ("All of it.", False)
    *cut, whole = gate.calls
    assert {request.body["stream"] for request in cut} == {True}
    assert not whole.body["stream"]
    *broken, good = gate.records()
    assert {record["outcome"] for record in broken} == {"upstream_truncated"}
    assert (good["status"], good["outcome"]) == (200, "ok")


def test_what_was_complete_when_a_stream_is_cut_is_kept(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    """The first call is complete and runs; the second is cut in its arguments and does not."""
    both = call("Write", file_path="a.txt", content="whole") + call("Write", file_path="b.txt", content="half " * 20)
    gate = lab([(say("I will.") + both).cut(after=12), say("Only the first was written.")])
    run = claude("Write two files.", "--allowedTools", "Write", gate=gate)
    assert (run.result, run.is_error) == ("Only the first was written.", False)
    assert [path.name for path in run.folder.glob("*.txt")] == ["a.txt"]
    assert [request.body["stream"] for request in gate.calls] == [True, True]
    [call_kept] = gate.model.chats[-1].messages[-2]["tool_calls"]
    assert "a.txt" in call_kept["function"]["arguments"]


def test_the_clients_128000_tokens_are_clamped(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab([say("Short.")])
    claude("Hello.", gate=gate)
    assert gate.calls[-1].body["max_tokens"] > 16384
    [request] = gate.model.chats
    assert request.body["max_tokens"] == 16384


def test_an_output_limit_that_nobody_has_told_us_is_learnt(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    refusal = (
        "max_tokens is too large: 128000. This model supports at most 4096 completion tokens, whereas you provided "
        "128000."
    )
    gate = lab([refuse(400, refusal), *NOTHING_DONE], models=UNLIMITED)
    run = claude("Do nothing.", "--allowedTools", "Bash", gate=gate)
    assert (run.result, run.is_error) == ("Done.", False)
    assert [request.body["max_tokens"] for request in gate.model.chats] == [128_000, 4096, 4096]


def test_a_window_that_nobody_has_told_us_is_learnt(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab(NOTHING_DONE, models=UNLIMITED, window=40_960)
    run = claude("Do nothing.", "--allowedTools", "Bash", gate=gate)
    assert (run.result, run.is_error) == ("Done.", False)
    first, *later = (request.body["max_tokens"] for request in gate.model.chats)
    assert (first, len(later)) == (128_000, 2)
    assert all(1024 < asked < 40_960 for asked in later)


OVERFLOWS: dict[str, Any] = {
    "OpenAI": refuse(
        400,
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 130500 tokens. "
        "Please reduce the length of the messages.",
        code="context_length_exceeded",
    ),
    "vLLM": refuse(
        400,
        "This model's maximum context length is 131072 tokens. However, your request has 140000 input tokens. "
        "Please reduce the length of the input messages.",
        type="BadRequestError",
    ),
}


@pytest.mark.parametrize("wording", OVERFLOWS)
def test_a_conversation_that_does_not_fit_is_compacted(
    lab: Callable[..., Lab], claude: ClaudeCode, wording: str
) -> None:
    def asks_for_a_summary(request: ReceivedRequest) -> bool:
        return "<summary>" in request.prompt

    gate = lab(
        [
            say("<summary>We spoke of the sea.</summary>").when(asks_for_a_summary),
            say("The sea is blue."),
            say("The sea is salty."),
            say("The sea is deep."),
            OVERFLOWS[wording],
            say("It has waves."),
        ]
    )
    claude("What colour is the sea?", gate=gate)
    claude("What does it taste of?", "--continue", gate=gate)
    claude("Is it deep?", "--continue", gate=gate)
    run = claude("What else?", "--continue", gate=gate, refusals=1)
    assert (run.result, run.is_error) == ("It has waves.", False)
    assert "compact_boundary" in [event.get("subtype") for event in run.events]
    assert gate.model.unused == []
    refused, summary, after = gate.model.chats[-3:]
    assert summary.tool_names == refused.tool_names
    texts = [str(message["content"]) for message in after.messages]
    assert any("We spoke of the sea." in text for text in texts)
    assert not any("What colour is the sea?" in text for text in texts)
