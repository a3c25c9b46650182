"""Answers that have broken other gateways, by their number in docs/explanation/known-failures.md (1 to 41)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from asgi_llmgate.errors import Broken, ClientGone, Throttled
from asgi_llmgate.exchange_values import ResponseMetadata, Usage
from asgi_llmgate.protocol.messages.events import SSEEmitter
from asgi_llmgate.protocol.translation.call_ids import make_call_id
from asgi_llmgate.protocol.translation.response.translator import Translator
from asgi_llmgate.testing.grammar import check_stream
from tests.protocol.responses import (
    BOTH,
    PLAN,
    A,
    B,
    Told,
    assert_error_end,
    call,
    calls,
    chunk,
    collected,
    completion,
    counted,
    sse,
    streamed,
    text,
    thinking,
    tool,
    whole,
)


def test_case_01_plain_stream() -> None:
    told = streamed(
        sse(chunk(role="assistant", content=""), chunk(content="Hi"), chunk(finish="stop", usage=counted()))
    )
    assert told.content == [text("Hi")]
    assert told.message["stop_reason"] == "end_turn"
    assert told.message["usage"]["input_tokens"] == 100
    assert told.message["usage"]["output_tokens"] == 20
    assert told.translator.usage == Usage(input=100, output=20)
    assert told.translator.metadata == ResponseMetadata(model="gpt-x", id="chatcmpl-1", finish_reasons=("stop",))
    assert told.translator.changed == []


def test_case_02_sequential_parallel_tools() -> None:
    told = streamed(sse(calls(call(0, **A)), calls(call(1, **B)), chunk(finish="tool_calls")))
    assert told.content == BOTH
    assert told.message["stop_reason"] == "tool_use"


def test_case_03_interleaved_parallel_tools() -> None:
    told = streamed(
        sse(
            calls(call(0, id="a", name="A", args='{"x":')),
            calls(call(1, id="b", name="B", args='{"y":')),
            calls(call(0, args="1}")),
            calls(call(1, args="2}")),
            chunk(finish="tool_calls"),
        )
    )
    assert told.content == BOTH


def test_case_04_several_calls_in_one_delta() -> None:
    assert streamed(sse(calls(call(0, **A), call(1, **B), finish="tool_calls"))).content == BOTH


def test_case_05_late_tool_name() -> None:
    told = streamed(
        sse(calls(call(0, id="a", args='{"x"')), calls(call(0, name="A", args=":1}")), chunk(finish="tool_calls"))
    )
    assert told.content == BOTH[:1]


def test_case_06_id_and_name_repeated_on_each_chunk() -> None:
    pieces = [calls(call(0, id="a", name="A", args=piece)) for piece in ('{"x":', "1", "}", "")]
    assert streamed(sse(*pieces, chunk(finish="tool_calls"))).content == BOTH[:1]


@pytest.mark.parametrize("b", [B, {**B, "id": None}], ids=["ids", "no ids"])
def test_case_07_index_missing(b: dict[str, Any]) -> None:
    told = streamed(sse(calls(call(None, **A)), calls(call(None, **b)), chunk(finish="tool_calls")))
    assert [block["input"] for block in told.content] == [{"x": 1}, {"y": 2}]


def test_case_08_same_index_new_id() -> None:
    assert streamed(sse(calls(call(0, **A)), calls(call(0, **B)), chunk(finish="tool_calls"))).content == BOTH


def test_case_09_no_id_at_all() -> None:
    told = streamed(sse(calls(call(0, name="A", args="{}"), call(1, name="A", args="{}"), finish="tool_calls")))
    assert told.call_ids == [make_call_id("msg_req_1", number) for number in (1, 2)]


@pytest.mark.parametrize("args", ["", None, "null", " "], ids=["empty", "missing", "null", "blank"])
def test_case_10_empty_arguments(args: str | None) -> None:
    told = streamed(sse(calls(call(0, id="a", name="A", args=args)), chunk(finish="tool_calls")))
    assert told.content == [tool("a", "A")]
    assert told.data.count(b"input_json_delta") == 1


def test_case_11_arguments_as_object() -> None:
    told = streamed(sse(calls(call(0, id="a", name="A", args={"x": 1})), chunk(finish="tool_calls")))
    assert told.content == BOTH[:1]


def test_case_12_text_after_tool() -> None:
    told = streamed(sse(calls(call(0, **A)), chunk(content="after"), chunk(finish="stop")))
    assert told.content == [BOTH[0], text("after")]


def test_case_13_finish_stop_with_tools() -> None:
    assert streamed(sse(calls(call(0, **A)), chunk(finish="stop"))).message["stop_reason"] == "tool_use"


def test_case_14_finish_tool_calls_without_a_call() -> None:
    assert streamed(sse(chunk(content="Hi"), chunk(finish="tool_calls"))).message["stop_reason"] == "end_turn"


def test_case_15_reasoning_content_and_tool_in_one_chunk() -> None:
    told = streamed(sse(calls(call(0, **A), reasoning="hm", content="Hi", finish="tool_calls", usage=counted())))
    assert told.content == [thinking("hm"), text("Hi"), BOTH[0]]
    assert told.translator.usage == Usage(input=100, output=20)


def test_case_16_text_then_reasoning_then_text() -> None:
    told = streamed(sse(chunk(content="---"), chunk(reasoning="hmm"), chunk(content="ok"), chunk(finish="stop")))
    assert told.content == [text("---"), thinking("hmm"), text("ok")]


DETAILS = [{"type": "reasoning.text", "text": "hm"}, {"type": "reasoning.encrypted", "data": "zz"}]


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning": "hm"},
        {"reasoning_content": "hm"},
        {"reasoning_details": DETAILS},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
        {"reasoning": "hm", "reasoning_details": DETAILS},
        {"reasoning": "hm", "reasoning_content": "hm"},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
        {"content": [{"type": "thinking", "thinking": "hm"}]},
    ],
    ids=["vLLM", "DeepSeek", "OpenRouter", "summary", "both", "all", "Mistral", "part"],
)
def test_case_17_reasoning_field_names(delta: dict[str, Any]) -> None:
    told = streamed(sse(chunk(**delta), chunk(content="Hi"), chunk(finish="stop")))
    assert told.content == [thinking("hm"), text("Hi")]
    assert [block.get("signature") for block in told.message["content"]] == ["llmgate", None]


def test_case_18_thinking_closed_before_tool() -> None:
    told = streamed(sse(chunk(reasoning="hm"), calls(call(0, **A)), chunk(finish="tool_calls")))
    assert told.content == [thinking("hm"), BOTH[0]]


def test_case_19_empty_finish_reason_on_every_chunk() -> None:
    told = streamed(sse(chunk(content="a", finish=""), chunk(content="b", finish=""), chunk(finish="stop")))
    assert told.content == [text("ab")]
    assert told.message["stop_reason"] == "end_turn"


LAST_COUNT = {"id": "chatcmpl-1", "choices": [], "usage": counted()}
A_IN_PIECES = [call(0, id="a", name="A", args='{"x":'), call(0, args="1}")]


@pytest.mark.parametrize(
    "events",
    [
        [calls(A_IN_PIECES[0]), calls(A_IN_PIECES[1]), chunk(finish="tool_calls"), LAST_COUNT],
        [calls(A_IN_PIECES[0]), calls(A_IN_PIECES[1]), chunk(finish="tool_calls", usage=counted())],
        [
            calls(A_IN_PIECES[0], usage=counted(100, 1)),
            calls(A_IN_PIECES[1], usage=counted(100, 19)),
            chunk(finish="tool_calls", usage=counted()),
            {"choices": [], "usage": counted(0, 0)},
        ],
        [calls(*A_IN_PIECES), {"choices": [{"delta": {}, "finish_reason": "tool_calls", "usage": counted()}]}],
    ],
    ids=["after finish", "with finish", "on every chunk, then zeros", "in the choice"],
)
def test_case_20_usage_anywhere(events: list[dict[str, Any]]) -> None:
    told = streamed(sse(*events))
    assert told.content == BOTH[:1]
    assert told.translator.usage == Usage(input=100, output=20)


def test_case_21_usage_absent() -> None:
    told = streamed(sse(chunk(content="12345678"), chunk(finish="stop")))
    assert told.translator.usage == Usage(input=50, output=2, estimated=True)
    assert told.message["usage"]["output_tokens"] == 2


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (counted(0, 7), Usage(input=50, output=7, estimated=True)),
        (counted(9, 0), Usage(input=9, output=1, estimated=True)),
    ],
    ids=["no prompt", "no completion"],
)
def test_half_a_count_is_completed_by_an_estimate(counts: dict[str, Any], usage: Usage) -> None:
    assert streamed(sse(chunk(content="Hi"), chunk(finish="stop", usage=counts))).translator.usage == usage


def test_case_23_done_missing() -> None:
    told = streamed(sse(chunk(content="Hi"), chunk(finish="stop"), done=False))
    assert told.message["stop_reason"] == "end_turn"


def test_case_24_last_frame_without_blank_line() -> None:
    told = streamed(sse(chunk(content="Hi"), chunk(finish="stop"), done=False).rstrip(b"\n"))
    assert told.message["stop_reason"] == "end_turn"


def test_case_25_cut_in_text() -> None:
    told = streamed(sse(chunk(content="Hi, I am"), done=False))
    assert_error_end(told)
    assert told.message["open"]
    assert isinstance(told.translator.error, Broken)


def test_case_26_cut_in_tool_arguments() -> None:
    told = streamed(sse(calls(call(0, id="a", name="A", args='{"x":')), done=False))
    assert_error_end(told)
    assert b"content_block_stop" not in told.data


def test_case_27_error_object_in_the_middle() -> None:
    told = streamed(sse(chunk(content="Hi"), {"error": {"code": 503, "message": "busy"}}, chunk(content="more")))
    assert_error_end(told, "overloaded_error")
    assert told.content == [text("Hi")]


def test_case_28_error_as_first_event() -> None:
    told = streamed(sse({"error": {"code": 429, "message": "slow down"}}))
    assert isinstance(told.translator.error, Throttled)
    assert not told.translator.started
    assert told.data.startswith(b"event: error\n")


@pytest.mark.parametrize("events", [[], [{"choices": []}], [chunk(role="assistant", content="")]])
def test_case_29_empty_stream(events: list[dict[str, Any]]) -> None:
    assert_error_end(streamed(sse(*events)))


def test_case_30_crlf_comments_one_byte_per_read_no_space() -> None:
    events = [chunk(content="Hi"), calls(call(0, **A)), chunk(finish="tool_calls", usage=counted())]
    plain = streamed(sse(*events)).data
    assert streamed(sse(*events, newline="\r\n")).data == plain
    assert streamed(b": hello\n\n" + sse(*events).replace(b"data: ", b"data:")).data == plain
    assert streamed([bytes([byte]) for byte in sse(*events)]).data == plain


def test_case_31_utf8_split() -> None:
    data = sse(json.dumps(chunk(content="a😀b"), ensure_ascii=False), chunk(finish="stop"))
    place = data.index("😀".encode()) + 2
    assert streamed([data[:place], data[place:]]).content == [text("a😀b")]


def test_case_32_silence_is_filled_with_pings_after_an_early_start() -> None:
    translator = Translator(PLAN, SSEEmitter())
    translator.ping()
    for event in (chunk(content="Hi"), chunk(finish="stop")):
        translator.feed_event(json.dumps(event).encode())
        translator.ping()
    translator.end()
    data = translator.take()
    message = check_stream(data)
    assert message["id"] == "msg_req_1"
    assert message["model"] == "qwen3"
    assert data.count(b"event: ping") == 3
    assert translator.metadata.id == "chatcmpl-1"


def test_case_33_json_reply_to_a_stream_request() -> None:
    translator = Translator(PLAN, SSEEmitter())
    translator.feed_document(
        json.dumps(completion("tool_calls", counted(), content="Hi", tool_calls=[call(**A)])).encode()
    )
    assert Told(check_stream(translator.take()), translator).content == [text("Hi"), BOTH[0]]


def test_stream_reply_to_a_request_that_asked_for_none() -> None:
    told = collected(sse(chunk(content="Hi"), calls(call(0, **A)), chunk(finish="tool_calls", usage=counted())))
    assert told.content == [text("Hi"), BOTH[0]]
    assert told.message["usage"]["output_tokens"] == 20


@pytest.mark.parametrize(
    "told",
    [
        streamed(sse(chunk(content="abc"), chunk(finish="content_filter"))),
        whole(completion("content_filter", content="abc")),
    ],
    ids=["streamed", "whole"],
)
def test_case_34_content_filter(told: Told) -> None:
    assert told.message["stop_reason"] == "refusal"
    assert told.message["stop_details"] == {"type": "refusal", "category": None, "explanation": None}


@pytest.mark.parametrize(
    "told",
    [
        streamed(sse(chunk(refusal="I can't"), chunk(finish="stop"))),
        whole(completion(refusal="I can't", content=None)),
        whole(completion("content_filter", content=[{"type": "refusal", "refusal": "I can't"}])),
    ],
    ids=["streamed", "whole", "part"],
)
def test_case_35_refusal_text(told: Told) -> None:
    assert told.content == [text("I can't")]
    assert told.message["stop_reason"] == "refusal"


@pytest.mark.parametrize(
    ("choice", "reason", "sequence"),
    [
        ({"stop_reason": "END"}, "stop_sequence", "END"),
        ({"matched_stop": "END"}, "stop_sequence", "END"),
        ({"stop_reason": 151645}, "end_turn", None),
        ({"stop_reason": "</s>"}, "end_turn", None),
    ],
    ids=["vLLM", "SGLang", "token id", "not the client's"],
)
def test_case_36_matched_stop_sequence(choice: dict[str, Any], reason: str, sequence: str | None) -> None:
    plan = replace(PLAN, stop_sequences=("</block>", "END"))
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", **choice}]}
    for told in (streamed(sse(chunk(content="Hi"), last), plan), whole(completion(content="Hi", choice=choice), plan)):
        assert (told.message["stop_reason"], told.message["stop_sequence"]) == (reason, sequence)


def test_case_37_length_in_tool_arguments() -> None:
    half = call(0, id="a", name="A", args='{"x":')
    told = streamed(sse(calls(half), chunk(finish="length")))
    assert b'"partial_json":"{\\"x\\":"' in told.data
    for same in (told, whole(completion("length", tool_calls=[half]))):
        assert same.content == [tool("a", "A")]
        assert same.message["stop_reason"] == "max_tokens"


def test_case_38_legacy_function_call() -> None:
    told = streamed(
        sse(
            chunk(function_call={"name": "A", "arguments": ""}),
            chunk(function_call={"arguments": '{"x":1}'}),
            chunk(finish="function_call"),
        )
    )
    assert told.content == [tool(make_call_id("msg_req_1", 1), "A", x=1)]
    assert told.message["stop_reason"] == "tool_use"
    assert (
        whole(completion("function_call", function_call={"name": "A", "arguments": '{"x":1}'})).content == told.content
    )


def test_case_39_usage_arithmetic() -> None:
    counts = counted(
        100,
        20,
        prompt_tokens_details={"cached_tokens": 60, "cache_write_tokens": 10},
        completion_tokens_details={"reasoning_tokens": 5},
    )
    told = streamed(sse(chunk(content="Hi"), chunk(finish="stop", usage=counts)))
    assert told.message["usage"] == {
        "input_tokens": 30,
        "cache_read_input_tokens": 60,
        "cache_creation_input_tokens": 10,
        "output_tokens": 20,
        "output_tokens_details": {"thinking_tokens": 5},
    }
    assert told.translator.usage == Usage(input=100, output=20, cache_read=60, cache_creation=10, reasoning=5)
    assert whole(completion(usage=counts, content="Hi")).message["usage"] == told.message["usage"]


def test_case_40_message_start_shape() -> None:
    translator = Translator(PLAN, SSEEmitter())
    translator.feed_event(json.dumps(chunk(role="assistant")).encode())
    message = check_stream(translator.take(), complete=False)
    assert {key for key in message if key not in {"error", "open"}} == {
        "id", "type", "role", "content", "model", "stop_reason", "stop_sequence", "usage",
    }  # fmt: skip
    assert message["usage"]["input_tokens"] == 50


def test_case_41_client_disconnect_leaves_what_was_counted_so_far() -> None:
    translator = Translator(PLAN, SSEEmitter())
    translator.feed_event(json.dumps(chunk(content="12345678")).encode())
    translator.fail(ClientGone())
    assert translator.usage == Usage(input=50, output=2, estimated=True)
    assert isinstance(translator.error, ClientGone)
