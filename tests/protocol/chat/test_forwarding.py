from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from asgi_llmgate.errors import Overloaded
from asgi_llmgate.exchange_values import Usage
from asgi_llmgate.protocol.chat.forwarding import ChatForwarder, forwarded_body
from asgi_llmgate.protocol.forwarded_request import decode_forwarded
from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Corrections
from asgi_llmgate.protocol.servers.dialects import DIALECTS, derive
from tests.protocol.responses import call, calls, chunk, counted

HELLO = b'{"model": "gpt-4o",  "messages": [{"role": "user", "content": "hi"}]%b}'


def sent(
    more: bytes = b"", corrections: Corrections = NO_CORRECTIONS, dialect: Any = DIALECTS["openai"], **extra: Any
) -> Any:
    request = decode_forwarded(HELLO % more, needs_model=True)
    return forwarded_body(request, model="qwen3", dialect=dialect, extra_body=extra, corrections=corrections)


def test_only_what_the_gateway_decides_is_written_anew() -> None:
    assert sent() == (b'{"model": "qwen3",  "messages": [{"role": "user", "content": "hi"}]}', False)
    body, _ = sent(top_k=5)
    assert body == b'{"model": "qwen3",  "messages": [{"role": "user", "content": "hi"}],"top_k":5}'


@pytest.mark.parametrize(
    ("asked", "options", "shows"),
    [
        (b"", {"include_usage": True}, False),
        (b',"stream_options":{"include_usage":true}', {"include_usage": True}, True),
        (b',"stream_options":{"include_usage":false,"x":1}', {"include_usage": True, "x": 1}, False),
        (b',"stream_options":null', {"include_usage": True}, False),
        (b',"stream_options":7', {"include_usage": True}, False),
    ],
)
def test_usage_is_asked_for_in_every_stream(asked: bytes, options: Any, shows: bool) -> None:
    body, shows_usage = sent(b',"stream":true' + asked)
    assert json.loads(body)["stream_options"] == options
    assert shows_usage is shows


def test_usage_is_not_asked_for_where_that_is_refused() -> None:
    streamed = b',"stream":true'
    assert (
        b"stream_options"
        not in sent(streamed, corrections=Corrections(refused_fields=frozenset({"stream_options"})))[0]
    )
    assert b"stream_options" not in sent(streamed, dialect=derive("vllm", {"include_usage": False}))[0]


def answered(events: Iterable[Any], **options: Any) -> tuple[ChatForwarder, bytes]:
    handler = ChatForwarder(**{"stream": True, "request_id": "req_1", "input_estimate": 9, **options})
    for event in events:
        handler.feed_event(event.encode() if isinstance(event, str) else json.dumps(event).encode())
    handler.end()
    return handler, handler.take()


USAGE = {"id": "c1", "choices": [], "usage": counted(100, 20)}
STREAM = [
    chunk(content="Hi"),
    calls(call(id="a", name="f", args="{}")),
    chunk(finish="stop"),
]


def events_of(data: bytes) -> list[str]:
    return [event.removeprefix("data: ") for event in data.decode().split("\n\n") if event]


@pytest.mark.parametrize("shows", [False, True])
def test_chunks_are_handed_on_and_usage_to_who_asked(shows: bool) -> None:
    handler, data = answered([*STREAM, USAGE, "[DONE]"], shows_usage=shows)
    *events, end = events_of(data)
    assert [json.loads(event) for event in events] == [*STREAM, *([USAGE] if shows else [])]
    assert end == "[DONE]"
    assert handler.usage == Usage(input=100, output=20)
    assert (handler.started, handler.done, handler.error) == (True, True, None)


@pytest.mark.parametrize(
    ("pieces", "tools"),
    [
        ([call(id="a", name="Read", args=""), call(args='{"p'), call(1, id="b", name="Bash", args="{}")], "Read Bash"),
        ([call(id="a", name="Read", args="{}"), call(1, id="b", name="Read", args="{}")], "Read"),
        ([call(id="a", name="Read"), call(id="a", name="Read", args="{"), call(id="a", name="Read", args="}")], "Read"),
        ([call(id="a", name="Re"), call(name="ad"), call(args="{}")], "Read"),
        ([call(id="a", name="Read", args="{}"), call(id="b", name="Bash", args="{}")], "Read Bash"),
        ([call(None, name="Read", args="{}"), call(None, name="Bash", args="{}")], "Read Bash"),
        ([{"index": 0, "id": "a"}, call(id="a", name="Read")], "Read"),
    ],
    ids=["in pieces", "twice", "name on every piece", "name in pieces", "one index", "no ids", "no function"],
)
def test_the_tools_that_it_calls_are_named_each_once(pieces: list[Any], tools: str) -> None:
    handler, _ = answered([*(calls(piece) for piece in pieces), chunk(finish="tool_calls"), "[DONE]"])
    assert handler.metadata.tools == tuple(tools.split())
    assert handler.error is None


def test_a_function_of_the_old_kind_is_a_tool() -> None:
    said = [chunk(function_call={"name": "look", "arguments": ""}), chunk(function_call={"arguments": "{}"})]
    handler, _ = answered([*said, chunk(finish="function_call"), "[DONE]"])
    assert handler.metadata.tools == ("look",)


def test_an_end_without_its_mark_gets_it() -> None:
    end = {"id": "c1", "choices": [{"index": 0, "finish_reason": "stop"}]}
    handler, data = answered(["ping", *STREAM[:2], end])
    assert events_of(data)[-1] == "[DONE]"
    assert handler.usage.estimated
    assert handler.usage.output > 0


@pytest.mark.parametrize(
    ("events", "status"),
    [
        (STREAM[:2], "the model server closed the stream before it finished"),
        (["[DONE]"], "the model server sent an empty response"),
        (["{", *STREAM], "the model server sent something that is not a chat completion"),
        (
            [STREAM[0], {"error": {"message": "busy", "code": 503}}, *STREAM],
            "the model server is overloaded or not ready: busy",
        ),
    ],
    ids=["cut", "empty", "junk", "an error"],
)
def test_a_broken_answer_ends_in_an_error_and_without_the_mark(events: list[Any], status: str) -> None:
    handler, data = answered(events)
    assert json.loads(events_of(data)[-1])["error"]["message"] == status
    assert handler.error is not None
    assert handler.done


def test_silence_is_filled_with_comments() -> None:
    handler = ChatForwarder(stream=True, request_id="req_1", input_estimate=9)
    handler.ping()
    assert handler.take() == b": ping\n\n"


COMPLETION = {
    "id": "c1",
    "model": "qwen3",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": counted(100, 20),
}


def test_a_completion_is_handed_on_as_it_came() -> None:
    handler = ChatForwarder(stream=False, request_id="req_1", input_estimate=9)
    document = json.dumps(COMPLETION, indent=2).encode()
    handler.feed_document(document)
    assert handler.take() == document
    assert handler.usage == Usage(input=100, output=20)
    assert (handler.metadata.model, handler.metadata.finish_reasons) == ("qwen3", ("stop",))


@pytest.mark.parametrize(
    ("stream", "document"),
    [
        (True, COMPLETION),
        (False, {**COMPLETION, "choices": []}),
        (False, {"error": {"message": "busy", "code": 503}}),
        (False, []),
    ],
    ids=["not streamed", "empty", "an error", "no object"],
)
def test_what_is_no_completion_is_a_failure(stream: bool, document: Any) -> None:
    handler = ChatForwarder(stream=stream, request_id="req_1", input_estimate=9)
    handler.feed_document(json.dumps(document).encode())
    assert handler.error is not None
    assert not handler.started
    handler.fail(Overloaded("later"))
    assert "later" not in handler.error.message


def test_events_for_a_client_that_waits_for_a_document_are_a_failure() -> None:
    handler = ChatForwarder(stream=False, request_id="req_1", input_estimate=9)
    handler.feed_event(json.dumps(STREAM[0]).encode())
    assert handler.done
    assert handler.error is not None
    assert handler.error.message == "the model server streamed a response that should be one JSON document"


END = {"choices": [{"delta": {}, "finish_reason": "stop"}]}


@pytest.mark.parametrize("failure", ['{"error":{"message":"x"}}', "garbage", '{"choices":[{"finish_reason":"error"}]}'])
def test_after_the_finish_reason_nothing_can_be_lost(failure: str) -> None:
    handler, data = answered([{"choices": [{"delta": {"content": "Hi"}}]}, END, failure])
    assert (handler.error, handler.stopped) == (None, True)
    assert data.endswith(b"data: [DONE]\n\n")
    assert b"error" not in data


def test_a_document_that_failed_after_its_finish_reason_has_failed() -> None:
    handler = ChatForwarder(stream=False, request_id="req_1", input_estimate=9)
    handler.feed_document(b'{"choices":[{"finish_reason":"stop"},{"finish_reason":"error"}]}')
    assert handler.error is not None


def test_a_chunk_that_says_nothing_is_forwarded_until_the_finish_reason() -> None:
    nothing = '{"choices":[]}'
    _, data = answered([nothing, {"choices": [{"delta": {"content": "Hi"}}]}, END, nothing])
    assert data.decode().count(nothing) == 1
