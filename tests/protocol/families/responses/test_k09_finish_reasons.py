"""K9: the finish reasons of all vendors, in any case and spelling, and with words around them."""

from __future__ import annotations

import pytest

from asgi_llmgate.errors import Broken, Failed, Overloaded, UpstreamError, row_for
from tests.protocol.responses import (
    A,
    assert_error_end,
    call,
    calls,
    chunk,
    collected,
    completion,
    sse,
    streamed,
    text,
    tool,
    whole,
)

ENDINGS = {
    "stop": "end_turn",
    "STOP": "end_turn",
    "Stop": "end_turn",
    "FinishReason.STOP": "end_turn",
    "eos": "end_turn",
    "eos_token": "end_turn",
    "COMPLETE": "end_turn",
    "END_TURN": "end_turn",
    "endTurn": "end_turn",
    "stop_sequence": "end_turn",
    "tool_calls": "end_turn",
    "TOOL_CALL": "end_turn",
    "tool-calls": "end_turn",
    "tool_use": "end_turn",
    "length": "max_tokens",
    "LENGTH": "max_tokens",
    "MAX_TOKENS": "max_tokens",
    "maxTokens": "max_tokens",
    "token_limit": "max_tokens",
    "time_limit": "max_tokens",
    "max_output_tokens": "max_tokens",
    "ERROR_LIMIT": "max_tokens",
    "model_length": "max_tokens",
    "model_context_window_exceeded": "max_tokens",
    "repetition": "max_tokens",
    "content_filter": "refusal",
    "content-filter": "refusal",
    "ContentFiltered": "refusal",
    "SAFETY": "refusal",
    "content_filter: PROHIBITED_CONTENT": "refusal",
    "RECITATION": "refusal",
    "BLOCKLIST": "refusal",
    "SPII": "refusal",
    "LANGUAGE": "refusal",
    "IMAGE_SAFETY": "refusal",
    "guardrail_intervened": "refusal",
    "ERROR_TOXIC": "refusal",
    "refusal": "refusal",
    "sensitive": "refusal",
}

FAILURES: dict[str, type[UpstreamError]] = {
    "error": Failed,
    "ERROR": Failed,
    "MALFORMED_FUNCTION_CALL": Failed,
    "malformed_function_call": Failed,
    "MalformedFunctionCall": Failed,
    "function_call_filter: MALFORMED_FUNCTION_CALL": Failed,
    "UNEXPECTED_TOOL_CALL": Failed,
    "TOO_MANY_TOOL_CALLS": Failed,
    "malformed_tool_use": Failed,
    "malformed_model_output": Failed,
    "abort": Broken,
    "cancelled": Broken,
    "canceled": Broken,
    "USER_CANCEL": Broken,
    "TIMEOUT": Broken,
    "network_error": Broken,
    "not_finished": Broken,
    "insufficient_system_resource": Overloaded,
    "engine_overloaded": Overloaded,
}


@pytest.mark.parametrize(("finish", "reason"), ENDINGS.items())
def test_an_end(finish: str, reason: str) -> None:
    data = sse(chunk(content="Hi"), chunk(finish=finish))
    for told in (streamed(data), collected(data), whole(completion(finish, content="Hi"))):
        assert told.content == [text("Hi")]
        assert told.message["stop_reason"] == reason
        assert told.translator.changed == []
        assert told.translator.metadata.finish_reasons == (finish,)


@pytest.mark.parametrize("finish", [finish for finish, reason in ENDINGS.items() if reason == "end_turn"])
def test_an_end_with_a_call(finish: str) -> None:
    told = streamed(sse(calls(call(0, **A)), chunk(finish=finish)))
    assert told.message["stop_reason"] == "tool_use"


@pytest.mark.parametrize("finish", [finish for finish, reason in ENDINGS.items() if reason != "end_turn"])
def test_half_a_call_is_no_mistake_where_the_model_was_stopped(finish: str) -> None:
    told = streamed(sse(calls(call(0, id="a", name="A", args='{"x":')), chunk(finish=finish)))
    assert told.content == [tool("a", "A")]
    assert told.message["stop_reason"] == ENDINGS[finish]


@pytest.mark.parametrize(("finish", "error"), FAILURES.items())
@pytest.mark.parametrize("before", [[], [chunk(content="I read it.")], [calls(call(0, **A))]], ids=["", "text", "call"])
def test_a_failure_is_an_error_whatever_came_before(
    finish: str, error: type[UpstreamError], before: list[object]
) -> None:
    told = streamed(sse(*before, chunk(finish=finish)))
    assert type(told.translator.error) is error
    assert_error_end(told, row_for(told.translator.error).anthropic)
    assert told.translator.started == bool(before)
    with pytest.raises(error):
        whole(completion(finish, content="I read it." if before else None))


@pytest.mark.parametrize("finish", ["OTHER", "FINISH_REASON_UNSPECIFIED", "because", "42", "...", ":", "x" * 10_000])
def test_an_unknown_reason_is_an_end_if_there_is_content_and_else_an_error(finish: str) -> None:
    told = streamed(sse(chunk(content="Hi"), chunk(finish=finish)))
    assert told.message["stop_reason"] == "end_turn"
    assert told.translator.changed == ["finish_reason"]
    empty = streamed(sse(chunk(role="assistant", content=""), chunk(finish=finish)))
    assert isinstance(empty.translator.error, Failed)
    with pytest.raises(Failed):
        whole(completion(finish, content=None))


def test_a_reason_that_is_repeated_or_followed_by_another_does_not_take_the_end_away() -> None:
    told = streamed(sse(chunk(content="Hi"), chunk(finish="STOP"), chunk(finish="STOP"), chunk(finish="abort")))
    assert told.message["stop_reason"] == "end_turn"
