"""The numbered cases are those of the list that a serious translator must pass; each has broken another gateway."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from asgi_llmgate.errors import Broken, ClientGone, Failed, Overloaded, Rejected, Throttled, TimedOut, row_for
from asgi_llmgate.exchange import Answer, Usage
from asgi_llmgate.protocol.emitters import MessageEmitter, SSEEmitter
from asgi_llmgate.protocol.plan import AnswerPlan
from asgi_llmgate.protocol.translator import TRANSITIONS, Translator
from asgi_llmgate.testing.grammar import check_stream
from tests.protocol.answers import PLAN, Told, call, calls, chunk, collected, completion, counted, sse, streamed, whole


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def thinking(words: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": words}


def tool(id: str, name: str, **input: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": input}


def assert_error_end(told: Told, error_type: str = "api_error") -> None:
    assert told.error["type"] == error_type
    assert "stop_reason" not in told.message or told.message["stop_reason"] is None
    assert b"message_delta" not in told.data


def test_case_01_plain_stream() -> None:
    told = streamed(
        sse(chunk(role="assistant", content=""), chunk(content="Hi"), chunk(finish="stop", usage=counted()))
    )
    assert told.content == [text("Hi")]
    assert told.message["stop_reason"] == "end_turn"
    assert told.message["usage"]["input_tokens"] == 100
    assert told.message["usage"]["output_tokens"] == 20
    assert told.translator.usage == Usage(input=100, output=20)
    assert told.translator.answer == Answer(model="gpt-x", id="chatcmpl-1", finish_reasons=("stop",))
    assert told.translator.reported == []


A = {"id": "a", "name": "A", "args": '{"x":1}'}
B = {"id": "b", "name": "B", "args": '{"y":2}'}
BOTH = [tool("a", "A", x=1), tool("b", "B", y=2)]


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
    assert [block["id"] for block in told.content] == ["toolu_req_1_1", "toolu_req_1_2"]


@pytest.mark.parametrize("args", ["", None, "null", " "], ids=["empty", "missing", "null", "blank"])
def test_case_10_empty_arguments(args: str | None) -> None:
    told = streamed(sse(calls(call(0, id="a", name="A", args=args)), chunk(finish="tool_calls")))
    assert told.content == [tool("a", "A")]
    assert told.data.count(b"input_json_delta") == (2 if args == " " else 1)


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
    translator, out = Translator(PLAN), SSEEmitter()
    translator.begin(out)
    out.ping()
    for event in (chunk(content="Hi"), chunk(finish="stop")):
        translator.step(json.dumps(event).encode(), out)
        out.ping()
    translator.finish(out)
    data = out.take()
    message = check_stream(data)
    assert message["id"] == "msg_req_1"
    assert message["model"] == "qwen3"
    assert data.count(b"event: ping") == 3
    assert translator.answer.id == "chatcmpl-1"


def test_case_33_json_reply_to_a_stream_request() -> None:
    translator, out = Translator(PLAN), SSEEmitter()
    translator.whole(
        json.dumps(completion("tool_calls", counted(), content="Hi", tool_calls=[call(**A)])).encode(), out
    )
    assert check_stream(out.take())["content"] == [text("Hi"), BOTH[0]]


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
    assert told.content == [tool("toolu_req_1_1", "A", x=1)]
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
    translator, out = Translator(PLAN), SSEEmitter()
    translator.step(json.dumps(chunk(role="assistant")).encode(), out)
    message = check_stream(out.take(), complete=False)
    assert {key for key in message if key not in {"error", "open"}} == {
        "id", "type", "role", "content", "model", "stop_reason", "stop_sequence", "usage",
    }  # fmt: skip
    assert message["usage"]["input_tokens"] == 50


def test_case_41_client_disconnect_leaves_what_was_counted_so_far() -> None:
    translator, out = Translator(PLAN), SSEEmitter()
    translator.step(json.dumps(chunk(content="12345678")).encode(), out)
    translator.fail(ClientGone(), out)
    assert translator.usage == Usage(input=50, output=2, estimated=True)
    assert isinstance(translator.error, ClientGone)


# What has no number.


def test_the_table_answers_every_input_in_every_state_but_the_last() -> None:
    assert set(TRANSITIONS) == {"idle", "text", "thinking", "call"}
    assert all(set(inputs) == {"text", "thinking", "call"} for inputs in TRANSITIONS.values())


def test_text_that_comes_inside_a_call_waits_until_it_is_whole() -> None:
    told = streamed(
        sse(
            calls(call(0, id="a", name="A", args='{"x":')),
            chunk(content="wa"),
            chunk(content="it"),
            chunk(reasoning="hm"),
            calls(call(0, args="1}")),
            chunk(content="now"),
            chunk(finish="stop"),
        )
    )
    assert told.content == [BOTH[0], text("wait"), thinking("hm"), text("now")]


def test_three_calls_that_all_wait_for_the_first_are_told_in_their_order() -> None:
    told = streamed(
        sse(
            calls(call(0, id="a", name="A", args='{"x":'), call(1, **B), call(2, id="c", name="C", args='{"z":')),
            calls(call(0, args="1}")),
            calls(call(2, args="3}")),
            chunk(finish="tool_calls"),
        )
    )
    assert told.content == [*BOTH, tool("c", "C", z=3)]


def test_a_brace_that_does_not_end_the_arguments_does_not_end_the_call() -> None:
    told = streamed(
        sse(
            calls(call(0, id="a", name="A", args='{"x":{"y":1}'), call(1, **B)),
            calls(call(0, args=',"z":"}')),
            calls(call(0, args='"}')),
            chunk(finish="tool_calls"),
        )
    )
    assert told.content == [tool("a", "A", x={"y": 1}, z="}"), BOTH[1]]


def test_a_call_that_goes_on_after_it_was_closed_is_an_error() -> None:
    told = streamed(sse(calls(call(0, **A)), calls(call(1, **B)), calls(call(0, args=',"x":2}')), chunk(finish="stop")))
    assert_error_end(told)
    assert told.content[0] == BOTH[0]
    assert told.message["open"]


def test_white_space_after_a_closed_call_is_nothing() -> None:
    told = streamed(
        sse(calls(call(0, **A)), calls(call(1, **B)), calls(call(0, args=" \n")), chunk(finish="tool_calls"))
    )
    assert told.content == BOTH


def test_a_name_in_pieces_is_put_together() -> None:
    told = streamed(
        sse(
            calls(call(0, id="a", name="get_")),
            calls(call(0, name="weather")),
            calls(call(0, args="{}")),
            chunk(finish="tool_calls"),
        )
    )
    assert told.content == [tool("a", "get_weather")]


def test_a_name_that_grows_from_piece_to_piece_is_not_doubled() -> None:
    told = streamed(
        sse(calls(call(0, id="a", name="get")), calls(call(0, name="get_x", args="{}")), chunk(finish="tool_calls"))
    )
    assert told.content == [tool("a", "get_x")]


def test_names_go_back_to_what_the_client_calls_them() -> None:
    plan = replace(PLAN, names={"A": "mcp__a/long.name"})
    assert streamed(sse(calls(call(0, **A)), chunk(finish="stop")), plan).content[0]["name"] == "mcp__a/long.name"


@pytest.mark.parametrize("id", ["call_abc|weird.id", 'quote"\\', "é"])
def test_ids_go_through_as_they_are(id: str) -> None:
    assert streamed(sse(calls(call(0, id=id, name="A", args="{}")), chunk(finish="stop"))).content[0]["id"] == id


def test_an_id_that_comes_twice_is_replaced() -> None:
    entries = [call(0, id="a", name="A", args="{}"), call(1, id="a", name="A", args="{}")]
    for told in (
        streamed(sse(calls(*entries), chunk(finish="stop"))),
        whole(completion(tool_calls=[{**entry, "index": None} for entry in entries])),
    ):
        assert [block["id"] for block in told.content] == ["a", "toolu_req_1_2"]


NO_OBJECT = calls(call(0, id="a", name="A", args="[1]"))


def test_arguments_that_are_no_object_leave_a_streamed_block_open() -> None:
    told = streamed(sse(NO_OBJECT, calls(call(1, **B)), chunk(finish="tool_calls")))
    assert_error_end(told)
    assert b"content_block_stop" not in told.data


def test_arguments_that_are_no_object_are_quoted_in_a_message() -> None:
    told = collected(sse(chunk(content="Hi"), NO_OBJECT, chunk(finish="tool_calls")))
    assert told.content == [text("Hi"), text("[tool call A: [1]]")]
    assert told.message["stop_reason"] == "end_turn"
    assert told.translator.reported == ["tool_calls.arguments"]


def test_a_call_without_a_name_is_an_error() -> None:
    assert_error_end(streamed(sse(calls(call(0, id="a", args="{}")), chunk(finish="tool_calls"))))


def test_a_call_cut_off_before_its_name_is_left_out() -> None:
    told = streamed(sse(chunk(content="Hi"), calls(call(0, id="a")), chunk(content="!"), chunk(finish="length")))
    assert told.content == [text("Hi"), text("!")]
    assert told.translator.reported == ["tool_calls.name"]


def test_more_calls_than_any_model_makes_are_an_error() -> None:
    told = streamed(sse(*[calls(call(number, name="A", args="{}")) for number in range(1025)]))
    assert_error_end(told)
    assert len(told.content) == 1024


@pytest.mark.parametrize(
    "junk", ["{", "garbage", '"text"', "[]", "<html>"], ids=["half", "words", "string", "list", "html"]
)
def test_what_is_no_chunk_is_an_error(junk: str) -> None:
    assert_error_end(streamed(sse(chunk(content="Hi"), junk, chunk(finish="stop"))))


@pytest.mark.parametrize("event", ["ping", "null", "{}", '{"type":"ping"}', '{"choices":null}', '{"error":null}'])
def test_what_keeps_a_connection_alive_is_nothing(event: str) -> None:
    assert streamed(sse(event, chunk(content="Hi"), event, chunk(finish="stop"))).content == [text("Hi")]


def test_an_event_over_the_cap_is_an_error() -> None:
    told = streamed(sse(chunk(content="Hi"), chunk(content="x" * 500)), max_event=400)
    assert_error_end(told)
    assert told.content == [text("Hi")]


def test_after_the_end_nothing_is_heard() -> None:
    translator, out = Translator(PLAN), SSEEmitter()
    for event in (json.dumps(chunk(content="Hi")), "[DONE]", json.dumps(chunk(content="more"))):
        translator.step(event.encode(), out)
    translator.finish(out)
    translator.fail(Broken("late"), out)
    assert check_stream(out.take())["content"] == [text("Hi")]
    assert translator.error is None


def test_a_failure_after_the_finish_reason_takes_nothing_away() -> None:
    translator, out = Translator(PLAN), SSEEmitter()
    translator.step(json.dumps(chunk(content="Hi", finish="stop")).encode(), out)
    assert translator.finished
    translator.fail(TimedOut("too slow", phase="idle"), out)
    assert check_stream(out.take())["stop_reason"] == "end_turn"
    assert translator.error is None


def test_an_unknown_finish_reason_is_derived_and_reported() -> None:
    told = streamed(sse(chunk(content="Hi"), chunk(finish="because")))
    assert told.message["stop_reason"] == "end_turn"
    assert told.translator.reported == ["finish_reason"]
    assert told.translator.answer.finish_reasons == ("because",)


@pytest.mark.parametrize(
    ("finish", "error"),
    [("error", Failed), ("abort", Broken), ("network_error", Broken), ("insufficient_system_resource", Overloaded)],
)
def test_a_finish_reason_that_is_no_end_is_an_error(finish: str, error: type[Exception]) -> None:
    told = streamed(sse(chunk(content="Hi"), chunk(finish=finish)))
    assert isinstance(told.translator.error, error)
    assert_error_end(told, row_for(told.translator.error).anthropic)


def test_an_error_in_the_choice_is_heard() -> None:
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": {"code": 502, "message": "no"}}
    assert_error_end(streamed(sse(chunk(content="Hi"), {"choices": [choice]})), "overloaded_error")


def test_a_second_choice_is_not_heard() -> None:
    second = {"choices": [{"index": 1, "delta": {"content": "no"}}]}
    assert streamed(sse(chunk(content="Hi"), second, chunk(finish="stop"))).content == [text("Hi")]


def test_a_chunk_shaped_like_a_completion_is_heard() -> None:
    assert streamed(sse(completion(content="Hi"))).content == [text("Hi")]


def test_thinking_that_nobody_asked_for_is_left_out_but_counted() -> None:
    told = streamed(sse(chunk(reasoning="12345678"), chunk(content="Hi!!"), chunk(finish="stop")), AnswerPlan("m", "x"))
    assert told.content == [text("Hi!!")]
    assert told.translator.usage.output == 3


def test_thinking_alone_still_leaves_a_block() -> None:
    told = streamed(sse(chunk(reasoning="hm"), chunk(finish="length")), AnswerPlan("msg_1", "x"))
    assert told.content == [text("")]
    assert told.message["stop_reason"] == "max_tokens"


def test_an_answer_of_nothing_is_one_empty_block() -> None:
    for told in (streamed(sse(chunk(finish="stop"))), whole(completion(content=None))):
        assert told.content == [text("")]


@pytest.mark.parametrize(
    ("plan", "model"),
    [(PLAN, "gpt-x"), (replace(PLAN, echo_model=True), "qwen3")],
    ids=["the server's", "the asked one"],
)
def test_the_model_in_the_answer(plan: AnswerPlan, model: str) -> None:
    told = streamed(sse({"id": "", "model": "", "choices": []}, chunk(content="Hi"), chunk(finish="stop")), plan)
    assert told.message["model"] == model
    assert told.message["id"] == "chatcmpl-1"
    assert told.translator.answer.model == "gpt-x"


def test_a_server_that_names_nothing_gets_the_plans_names() -> None:
    told = whole({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
    assert (told.message["id"], told.message["model"]) == ("msg_req_1", "qwen3")
    assert told.translator.answer == Answer(finish_reasons=("stop",))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<html>", Broken),
        (b"{}", Broken),
        (b'{"choices":[]}', Broken),
        (b'{"object":"error","message":"no","code":400}', Rejected),
        (b'{"error":{"message":"slow","code":429}}', Throttled),
        (b'{"choices":[{"message":{"tool_calls":[{"function":{"arguments":"{}"}}]}}]}', Broken),
    ],
    ids=["html", "empty", "no choices", "vLLM error", "error with 200", "nameless call"],
)
def test_a_completion_that_is_none(body: bytes, error: type[Exception]) -> None:
    translator, out = Translator(PLAN), MessageEmitter()
    translator.whole(body, out)
    assert isinstance(translator.error, error)
    with pytest.raises(error):
        out.message()


def test_a_completion_without_a_finish_reason_is_derived() -> None:
    told = whole(completion(None, content="Hi"))
    assert told.message["stop_reason"] == "end_turn"
    assert told.translator.reported == ["finish_reason"]


@pytest.mark.parametrize(
    ("words", "content", "reason"),
    [("No such tool here.", [text("No such tool here.")], "end_turn"), ("", [], "max_tokens")],
    ids=["text", "nothing"],
)
def test_an_answer_of_our_own_costs_nothing(words: str, content: list[Any], reason: str) -> None:
    for out in (SSEEmitter(), MessageEmitter()):
        translator = Translator(PLAN)
        translator.locally(words, out)
        message = check_stream(out.take()) if isinstance(out, SSEEmitter) else json.loads(out.message())
        assert (message["content"], message["stop_reason"]) == (content, reason)
        assert message["usage"]["input_tokens"] == 0
        assert translator.usage == Usage()
        assert translator.done


@pytest.mark.parametrize(
    ("words", "kept", "reason"),
    [("abcd", "abcd", "end_turn"), ("abcde", "abcd", "max_tokens"), ('"\\u003cé😀z', '"\\u0', "max_tokens")],
    ids=["fits", "cut", "escapes"],
)
def test_an_output_limit_below_the_servers_least_is_kept(words: str, kept: str, reason: str) -> None:
    plan = replace(PLAN, output_limit=1)
    entry = call(0, **A)
    for told in (
        streamed(sse(*[chunk(content=letter) for letter in words], chunk(finish="stop")), plan),
        whole(completion(content=words), plan),
    ):
        assert told.content == [text(kept)]
        assert told.message["stop_reason"] == reason
    over = streamed(sse(chunk(content="abcde"), calls(entry), chunk(finish="tool_calls")), plan)
    assert over.content == [text("abcd")]


def test_inline_thinking_is_split_off_before_a_call() -> None:
    plan = replace(PLAN, think_tags=True)
    told = streamed(
        sse(chunk(content="<th"), chunk(content="ink>\nhm</thi"), calls(call(0, **A)), chunk(finish="tool_calls")), plan
    )
    assert told.content == [thinking("hm</thi"), BOTH[0]]
    told = streamed(sse(chunk(content="\n<thi"), chunk(finish="stop")), plan)
    assert told.content == [text("\n<thi")]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (rb"\u003c\/\ud83d\ude00\u0000", "</😀\x00"),
        (rb"a\ud83d", "a�"),
        (b"a\xff\xfeb", "a��b"),
        ("é\u2028".encode(), "é\u2028"),
    ],
    ids=["escapes", "half a surrogate", "no utf-8", "separators"],
)
def test_text_is_copied_as_it_came_unless_it_is_broken(raw: bytes, shown: str) -> None:
    told = streamed(b'data: {"choices":[{"delta":{"content":"%b"},"finish_reason":"stop"}]}\n\n' % raw)
    assert told.content == [text(shown)]


def test_a_half_surrogate_in_arguments_reaches_the_client() -> None:
    entry = call(0, id="a", name="A", args='{"x":"\\ud83d"}')
    assert streamed(sse(calls(entry), chunk(finish="stop"))).content == [tool("a", "A", x="\ud83d")]
    assert whole(completion(tool_calls=[entry])).content == [tool("a", "A", x="�")]
