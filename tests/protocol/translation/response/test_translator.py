from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from asgi_llmgate.errors import Blocked, Broken, Failed, Overloaded, RequestRejected, Throttled, TimedOut, row_for
from asgi_llmgate.exchange_values import ResponseMetadata, Usage
from asgi_llmgate.protocol.messages.events import MessageEmitter, SSEEmitter
from asgi_llmgate.protocol.translation.call_ids import read_call_id
from asgi_llmgate.protocol.translation.response.block_writer import TRANSITIONS
from asgi_llmgate.protocol.translation.response.plan import ResponsePlan
from asgi_llmgate.protocol.translation.response.translator import Translator
from asgi_llmgate.testing.grammar import check_stream
from tests.protocol.responses import (
    BOTH,
    PLAN,
    A,
    B,
    assert_error_end,
    call,
    calls,
    chunk,
    collected,
    completion,
    sse,
    streamed,
    text,
    thinking,
    tool,
    whole,
)


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


def test_what_comes_of_a_call_after_it_was_closed_is_left_out() -> None:
    told = streamed(sse(calls(call(0, **A)), calls(call(1, **B)), calls(call(0, args=',"x":2}')), chunk(finish="stop")))
    assert told.content == BOTH
    assert told.translator.changed == ["tool_calls.arguments"]


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
def test_ids_hold_the_servers_own(id: str) -> None:
    assert streamed(sse(calls(call(0, id=id, name="A", args="{}")), chunk(finish="stop"))).content[0]["id"] == id


def test_an_id_that_comes_twice_is_replaced() -> None:
    entries = [call(0, id="a", name="A", args="{}"), call(1, id="a", name="B", args="{}")]
    for told in (
        streamed(sse(calls(*entries), chunk(finish="stop"))),
        whole(completion(tool_calls=[{**entry, "index": None} for entry in entries])),
    ):
        assert [read_call_id(call_id) for call_id in told.call_ids] == ["a", None]


def test_arguments_that_are_no_object_are_passed_on() -> None:
    data = sse(calls(call(0, id="a", name="A", args="[1]")), calls(call(1, **B)), chunk(finish="tool_calls"))
    for told in (streamed(data, any_input=True), collected(data)):
        assert told.content == [tool("a", "A", INVALID_JSON="[1]"), BOTH[1]]
        assert told.translator.metadata.tools == ("A", "B")
        assert told.message["stop_reason"] == "tool_use"
        assert told.translator.changed == ["tool_calls.arguments"]


def test_a_call_without_a_name_is_an_error() -> None:
    assert_error_end(streamed(sse(calls(call(0, id="a", args="{}")), chunk(finish="tool_calls"))))


def test_a_call_cut_off_before_its_name_is_left_out() -> None:
    told = streamed(sse(chunk(content="Hi"), calls(call(0, id="a")), chunk(content="!"), chunk(finish="length")))
    assert told.content == [text("Hi"), text("!")]
    assert told.translator.changed == ["tool_calls.name"]


def test_more_calls_than_any_model_makes_are_an_error() -> None:
    told = streamed(sse(*[calls(call(number, name="A", args='{"x":1}')) for number in range(1025)]))
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
    translator = Translator(PLAN, SSEEmitter())
    for event in (json.dumps(chunk(content="Hi")), "[DONE]", json.dumps(chunk(content="more"))):
        translator.feed_event(event.encode())
    translator.end()
    translator.fail(Broken("late"))
    assert check_stream(translator.take())["content"] == [text("Hi")]
    assert translator.error is None


def test_a_failure_after_the_finish_reason_takes_nothing_away() -> None:
    translator = Translator(PLAN, SSEEmitter())
    translator.feed_event(json.dumps(chunk(content="Hi", finish="stop")).encode())
    assert translator.metadata.finish_reasons == ("stop",)
    translator.fail(TimedOut("too slow", phase="idle"))
    assert check_stream(translator.take())["stop_reason"] == "end_turn"
    assert translator.error is None


def test_the_tools_that_were_called_are_named_as_the_client_knows_them_each_once() -> None:
    plan = replace(PLAN, names={"A": "mcp__a/long.name"})
    pieces = [call(0, **A), call(1, **B), call(2, **{**A, "id": "c"}), call(3, id="d", name="D", args='{"half')]
    for finish in ("tool_calls", "length"):
        translator = Translator(plan, MessageEmitter())
        translator.feed_document(json.dumps(completion(finish, tool_calls=pieces)).encode())
        assert translator.error is None
        told = [block["name"] for block in json.loads(translator.take())["content"] if block["type"] == "tool_use"]
        assert tuple(dict.fromkeys(told)) == translator.metadata.tools == ("mcp__a/long.name", "B", "D")
    assert Translator(plan, SSEEmitter()).metadata.tools == ()


def test_an_unknown_finish_reason_is_derived_and_reported() -> None:
    told = streamed(sse(chunk(content="Hi"), chunk(finish="because")))
    assert told.message["stop_reason"] == "end_turn"
    assert told.translator.changed == ["finish_reason"]
    assert told.translator.metadata.finish_reasons == ("because",)


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


def test_a_completion_shaped_like_a_chunk_is_heard() -> None:
    told = whole({"choices": [{"index": 0, "delta": {"content": "Hi"}}, {"index": 0, "finish_reason": "stop"}]})
    assert told.content == [text("Hi")]
    assert told.message["stop_reason"] == "end_turn"


def test_azures_first_chunk_says_nothing_yet() -> None:
    first = {"id": "", "model": "", "object": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    told = streamed(sse(first, chunk(content="Hi"), chunk(finish="stop")))
    assert (told.translator.metadata.id, told.message["model"]) == ("chatcmpl-1", "gpt-x")


def test_thinking_that_nobody_asked_for_is_left_out_but_counted() -> None:
    told = streamed(
        sse(chunk(reasoning="12345678"), chunk(content="Hi!!"), chunk(finish="stop")), ResponsePlan("m", "x")
    )
    assert told.content == [text("Hi!!")]
    assert told.translator.usage.output == 3


def test_thinking_alone_still_leaves_a_block() -> None:
    told = streamed(sse(chunk(reasoning="hm"), chunk(finish="length")), ResponsePlan("msg_1", "x"))
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
def test_the_model_in_the_answer(plan: ResponsePlan, model: str) -> None:
    told = streamed(sse({"id": "", "model": "", "choices": []}, chunk(content="Hi"), chunk(finish="stop")), plan)
    assert told.message["model"] == model
    assert told.message["id"] == "msg_req_1"
    assert told.translator.metadata.model == "gpt-x"


def test_a_server_that_names_nothing_gets_the_plans_names() -> None:
    told = whole({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
    assert (told.message["id"], told.message["model"]) == ("msg_req_1", "qwen3")
    assert told.translator.metadata == ResponseMetadata(finish_reasons=("stop",))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<html>", Blocked),
        (b"{}", Broken),
        (b'{"choices":[]}', Broken),
        (b'{"object":"error","message":"no","code":400}', RequestRejected),
        (b'{"error":{"message":"slow","code":429}}', Throttled),
        (b'{"choices":[{"message":{"tool_calls":[{"function":{"arguments":"{}"}}]}}]}', Broken),
    ],
    ids=["html", "empty", "no choices", "vLLM error", "error with 200", "nameless call"],
)
def test_a_completion_that_is_none(body: bytes, error: type[Exception]) -> None:
    translator = Translator(PLAN, MessageEmitter())
    translator.feed_document(body)
    assert isinstance(translator.error, error)
    with pytest.raises(error):
        translator.take()


def test_a_completion_without_a_finish_reason_is_derived() -> None:
    told = whole(completion(None, content="Hi"))
    assert told.message["stop_reason"] == "end_turn"
    assert told.translator.changed == ["finish_reason"]


@pytest.mark.parametrize(
    ("words", "content", "reason"),
    [("No such tool here.", [text("No such tool here.")], "end_turn"), ("", [], "max_tokens")],
    ids=["text", "nothing"],
)
def test_an_answer_of_our_own_costs_nothing(words: str, content: list[Any], reason: str) -> None:
    for emitter in (SSEEmitter(), MessageEmitter()):
        translator = Translator(PLAN, emitter)
        translator.write_local(words)
        data = translator.take()
        message = check_stream(data) if isinstance(emitter, SSEEmitter) else json.loads(data)
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


def test_a_server_that_finds_the_thinking_itself_has_no_other_in_the_text() -> None:
    plan = replace(PLAN, think_tags=True)
    told = streamed(
        sse(chunk(content="a"), chunk(reasoning="hm"), chunk(content="b</think>c"), chunk(finish="stop")), plan
    )
    assert told.content == [text("a"), thinking("hm"), text("b</think>c")]


@pytest.mark.parametrize("finish", ["stop", "OTHER", None])
def test_a_text_that_may_be_thinking_comes_at_the_end(finish: str | None) -> None:
    plan = replace(PLAN, think_tags=True)
    data = sse(chunk(content="Hel"), chunk(content="lo"), chunk(finish=finish))
    assert streamed(data, plan).content == collected(data, plan).content == [text("Hello")]
    thought = sse(chunk(content="hm\n</thi"), chunk(content="nk>\n\nHi"), chunk(finish=finish))
    assert streamed(thought, plan).content == [thinking("hm"), text("Hi")]
    assert whole(completion(content="hm</think>Hi"), replace(plan, thinking=False)).content == [text("Hi")]


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
