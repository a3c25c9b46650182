"""What is kept of an answer is bounded, whatever the answer is made of; what goes out is not kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace

from asgi_llmgate.errors import Broken, GateError, ResponseTooLarge
from asgi_llmgate.protocol.buffer_limit import MAX_CALL_ID, MAX_METADATA, MAX_TOOL_CALLS, MAX_TOOL_NAME, BufferLimit
from asgi_llmgate.protocol.chat.forwarding import ChatForwarder
from asgi_llmgate.protocol.chat.tool_calls import CALL_SIZE
from asgi_llmgate.protocol.messages.events import MessageEmitter, SSEEmitter
from asgi_llmgate.protocol.messages.forwarding import MessagesForwarder
from asgi_llmgate.protocol.rawjson.arrays import MAX_ELEMENTS, decode_array
from asgi_llmgate.protocol.response_handler import ResponseHandler
from asgi_llmgate.protocol.sse import SSEReader
from asgi_llmgate.protocol.translation.response.block_writer import MAX_BLOCKS
from asgi_llmgate.protocol.translation.response.translator import Translator
from asgi_llmgate.protocol.usage_meter import UsageMeter
from tests.helpers.counted_work import peak
from tests.protocol.responses import PLAN, call, calls, chunk, completion

decode_array(b"[]")  # its decoder is made on first use, and is nothing that a response keeps

LIMIT = 30_000
MOST_HELD = 10 * LIMIT
"""The limit, what a piece of it becomes on its way, and the interpreter's own."""

TOTAL = 30 * LIMIT
WORDS = "all work and no play makes Jack a dull boy, " * 90
TAGGED = replace(PLAN, think_tags=True)


def event(data: Any) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


def said(**delta: Any) -> bytes:
    return event(chunk(**delta))


OPENED = event(calls(call(0, id="call_1", name="Write", args='{"a":"')))
WAITING = event(calls(call(1, id="call_2", name="Read", args='{"a":"')))


def endless(*pieces: bytes, before: bytes = b"") -> Iterator[bytes]:
    """Pieces without an end, as far as a test goes."""
    yield before
    sent = 0
    while sent < TOTAL:
        for piece in pieces:
            sent += len(piece)
            yield piece


def numbered(make: Callable[[int], bytes]) -> Iterator[bytes]:
    sent = number = 0
    while sent < TOTAL:
        piece = make(number)
        sent, number = sent + len(piece), number + 1
        yield piece


BEGUN = said(content="<think>a</think>b")
"""A text before which no thinking can come."""

PASSING: dict[str, Callable[[], Iterator[bytes]]] = {
    "text": lambda: endless(said(content=WORDS), before=BEGUN),
    "thinking": lambda: endless(said(reasoning=WORDS)),
    "a refusal": lambda: endless(said(refusal=WORDS)),
    "white space": lambda: endless(said(content=" " * 4000), before=BEGUN),
    "line breaks after a tag": lambda: endless(said(content="\n" * 4000), before=said(content="<think>")),
    "thinking in tags that nearly end": lambda: endless(said(content="</think" * 500), before=said(content="<think>")),
    "comments": lambda: endless(b": " + WORDS.encode() + b"\n"),
    "keep-alives": lambda: endless(b"data: null\n\n" * 400),
    "other fields": lambda: endless(b"event: a\nid: 1\nretry: 9\n" * 200),
    "empty events": lambda: endless(b"data:\n\n" * 400),
    "line ends": lambda: endless(b"\r\n" * 4000),
    "usage": lambda: endless(
        event(chunk(content=WORDS, usage={"prompt_tokens": 5, "completion_tokens": 6})), before=BEGUN
    ),
    "reasons": lambda: endless(event(chunk(content=WORDS, finish="")), before=BEGUN),
    "blocks": lambda: endless(said(content="a"), said(reasoning="b")),
    "other choices": lambda: endless(event({"choices": [{"index": 1, "delta": {"content": WORDS}}]}), before=BEGUN),
}
"""What may go on for ever: nothing of it need be kept."""

KEPT: dict[str, Callable[[], Iterator[bytes]]] = {
    "arguments": lambda: endless(event(calls(call(0, args=WORDS))), before=OPENED),
    "arguments in small pieces": lambda: endless(event(calls(call(0, args="ab" * 9))), before=OPENED),
    "arguments of a call that waits": lambda: endless(event(calls(call(1, args=WORDS))), before=OPENED + WAITING),
    "arguments as an object": lambda: endless(event(calls(call(0, args={"b": WORDS}))), before=OPENED),
    "arguments of many calls": lambda: numbered(lambda n: event(calls(call(n, name="A", args='{"a":"' + WORDS)))),
    "arguments without a name": lambda: endless(event(calls(call(0, args=WORDS)))),
    "a call of the old kind": lambda: endless(event(chunk(function_call={"name": "A", "arguments": WORDS}))),
    "text behind a call": lambda: endless(said(content=WORDS), before=OPENED),
    "text behind a call in small pieces": lambda: endless(said(content="ab" * 9), before=OPENED),
    "text and thinking behind a call": lambda: endless(said(content="a"), said(reasoning="b"), before=OPENED),
    "ids": lambda: numbered(lambda n: event(calls(call(n, id=f"{n}" * 5000, name="A", args="{}")))),
    "an id": lambda: endless(event(calls(call(0, id="a" * (MAX_CALL_ID + 1), name="A")))),
    "a name": lambda: endless(event(calls(call(0, name="a" * (MAX_TOOL_NAME + 1))))),
    "a name in pieces": lambda: numbered(lambda n: event(calls(call(0, name="ab"[n % 2])))),
    "calls": lambda: numbered(lambda n: event(calls(call(n, id=f"c{n}", name="A", args="{}")))),
    "a line": lambda: endless(b"ab" * 5, before=b"data: "),
    "a comment": lambda: endless(b"ab" * 5, before=b": "),
    "a line in large pieces": lambda: endless(WORDS.encode(), before=b"data: "),
    "an event of many lines": lambda: endless(b"data: ab\n" * 9, before=b"data: {\n"),
    "an event of empty lines": lambda: endless(b"data:\n" * 9, before=b"data: {\n"),
}
"""What has to be kept before anybody can say what it is."""

NUMBER = 50_000
OPENED_WHOLE: dict[str, Any] = {
    "choices": {"choices": [{}] * NUMBER},
    "choices that are lists": {"choices": [[]] * NUMBER},
    "calls": calls(*[{}] * NUMBER),
    "calls that are lists": calls(*[[]] * NUMBER),  # type: ignore[list-item]
    "calls of a message": completion(tool_calls=[{}] * NUMBER),
    "parts": chunk(content=[{}] * NUMBER),
    "parts of thinking": chunk(content=[{"type": "thinking", "thinking": [{}] * NUMBER}]),
    "details of reasoning": chunk(reasoning_details=[{}] * NUMBER),
}
"""What would be large in memory if it was opened."""


def carry(pieces: Iterator[bytes], handler: ResponseHandler, retained: BufferLimit, *, limit: int = LIMIT) -> None:
    """What an app does with a stream; a stream that has ended is not read on."""
    reader = SSEReader(max_event=max(limit, 4 * 2**20), retained=retained)
    try:
        for piece in pieces:
            for data in reader.feed(piece):
                handler.feed_event(data)
            if handler.done:
                return
            if not isinstance(handler, Translator) or handler.started:
                take(handler)
    except GateError as error:
        handler.fail(error)


def take(handler: ResponseHandler) -> None:
    with suppress(AssertionError):  # a Message is not there before its end
        handler.take()


def translated(retained: BufferLimit, *, stream: bool) -> Translator:
    return Translator(TAGGED, SSEEmitter("req_1") if stream else MessageEmitter(retained), retained)


@pytest.mark.parametrize("shape", PASSING)
def test_what_has_gone_out_is_not_kept(shape: str) -> None:
    retained = BufferLimit(LIMIT)
    handler = translated(retained, stream=True)
    assert peak(lambda: carry(PASSING[shape](), handler, retained)) < MOST_HELD
    assert handler.error is None
    assert retained.size == 0


@pytest.mark.parametrize("shape", PASSING)
def test_what_is_handed_on_is_not_kept(shape: str) -> None:
    handler = ChatForwarder(stream=True, request_id="req_1", input_estimate=1)
    assert peak(lambda: carry(PASSING[shape](), handler, BufferLimit(LIMIT))) < MOST_HELD
    assert handler.error is None


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("shape", KEPT)
def test_what_has_to_be_kept_has_a_cap(shape: str, stream: bool) -> None:
    retained = BufferLimit(LIMIT)
    handler = translated(retained, stream=stream)
    pieces = list(KEPT[shape]())
    most = MOST_HELD + 10 * max(map(len, pieces))
    assert peak(lambda: carry(iter(pieces), handler, retained)) < most
    assert isinstance(handler.error, Broken)
    assert retained.size <= LIMIT
    if stream:
        assert b"event: error" in handler.take()


@pytest.mark.parametrize("shape", ["text", "thinking", "a refusal", "blocks"])
def test_a_message_that_is_put_together_has_a_cap(shape: str) -> None:
    retained = BufferLimit(LIMIT)
    handler = translated(retained, stream=False)
    assert peak(lambda: carry(PASSING[shape](), handler, retained)) < MOST_HELD
    assert isinstance(handler.error, ResponseTooLarge)
    with pytest.raises(ResponseTooLarge, match=f"too large: more than {LIMIT} bytes"):
        handler.take()


@pytest.mark.parametrize("shape", [shape for shape in KEPT if "argument" in shape or "behind" in shape])
def test_arguments_that_are_handed_on_are_not_kept(shape: str) -> None:
    handler = ChatForwarder(stream=True, request_id="req_1", input_estimate=1)
    pieces = list(KEPT[shape]())[: 2 * MAX_TOOL_CALLS]
    assert peak(lambda: carry(iter(pieces), handler, BufferLimit(LIMIT))) < MOST_HELD


def test_calls_one_after_the_other_are_kept_one_at_a_time() -> None:
    retained = BufferLimit(500_000)
    handler = translated(retained, stream=True)
    arguments = json.dumps({"a": WORDS})
    pieces = (event(calls(call(n, id=f"c{n}", name="A", args=arguments))) for n in range(300))
    carry(pieces, handler, retained)
    assert handler.error is None
    assert 300 * len(arguments) > 500_000 > retained.size > 300 * CALL_SIZE


def test_a_whole_answer_up_to_the_limit_is_told() -> None:
    retained = BufferLimit(LIMIT)
    handler = translated(retained, stream=False)
    handler.feed_document(
        json.dumps(completion(content="a" * (LIMIT - 3000), tool_calls=[call(0, id="c", name="A")])).encode()
    )
    assert len(json.loads(handler.take())["content"][0]["text"]) == LIMIT - 3000


def test_blocks_have_a_number() -> None:
    handler = translated(BufferLimit(), stream=True)
    for _ in range(MAX_BLOCKS // 2):
        handler.feed_event(event(chunk(content="a", reasoning="b"))[6:-2])
    assert handler.error is None
    handler.feed_event(event(chunk(content="a", reasoning="b"))[6:-2])
    assert isinstance(handler.error, Broken)


@pytest.mark.parametrize("length", [MAX_CALL_ID, 5000])
def test_an_id_that_carries_a_signature_is_no_error_and_not_the_clients_id(length: int) -> None:
    handler = translated(BufferLimit(), stream=False)
    name = "call_1__thought__" + "A" * (length - 17)
    handler.feed_document(
        json.dumps(completion("tool_calls", tool_calls=[call(0, id=name, name="A", args="{}")])).encode()
    )
    assert len(json.loads(handler.take())["content"][0]["id"]) < 64


@pytest.mark.parametrize("wire", ["translated", "handed on"])
def test_what_a_server_says_about_itself_is_cut(wire: str) -> None:
    make: dict[str, Callable[[], ResponseHandler]] = {
        "translated": lambda: translated(BufferLimit(), stream=True),
        "handed on": lambda: ChatForwarder(stream=True, request_id="req_1", input_estimate=1),
    }
    handler = make[wire]()
    long = "x" * 9999
    named = [call(0, name=long[:MAX_TOOL_NAME], args="{}")]
    handler.feed_event(json.dumps({**chunk(finish=long, tool_calls=named), "id": long, "model": long}).encode())
    handler.feed_event(b"[DONE]")
    answer = handler.metadata
    assert max(map(len, (answer.id, answer.model, *answer.finish_reasons, *answer.tools))) == MAX_METADATA


def test_what_a_server_on_the_client_s_wire_says_about_itself_is_cut() -> None:
    long, handler = "x" * 9999, MessagesForwarder(stream=True, request_id="req_1", input_estimate=1)
    handler.feed_event(json.dumps({"type": "message_start", "message": {"id": long, "model": long}}).encode())
    for number in range(MAX_TOOL_CALLS + 5):
        block = {"type": "tool_use", "name": f"{number}{long}"}
        handler.feed_event(json.dumps({"type": "content_block_start", "content_block": block}).encode())
        handler.take()
    handler.feed_event(json.dumps({"type": "message_delta", "delta": {"stop_reason": long}}).encode())
    answer = handler.metadata
    assert max(map(len, (answer.id, answer.model, *answer.finish_reasons, *answer.tools))) == MAX_METADATA
    assert len(answer.tools) == MAX_TOOL_CALLS


def test_a_message_of_too_many_blocks_is_not_opened() -> None:
    document = json.dumps({"type": "message", "content": [{}] * NUMBER}).encode()
    handler = MessagesForwarder(stream=False, request_id="req_1", input_estimate=1)
    assert peak(lambda: handler.feed_document(document)) < 3 * len(document)
    assert isinstance(handler.error, Broken)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("shape", OPENED_WHOLE)
def test_a_list_of_too_many_elements_is_not_opened(shape: str, stream: bool) -> None:
    handler, document = translated(BufferLimit(), stream=stream), json.dumps(OPENED_WHOLE[shape]).encode()
    handler.feed_event(b'{"choices":[]}')  # the measure is made once
    assert peak(lambda: handler.feed_event(document) if stream else handler.feed_document(document)) < 5 * len(document)
    assert isinstance(handler.error, Broken)


def test_a_large_message_is_handed_on() -> None:
    blocks = [{"type": "tool_use", "name": f"A{number}", "input": {"a": WORDS}} for number in range(MAX_ELEMENTS)]
    assert MAX_ELEMENTS == MAX_TOOL_CALLS
    handler = MessagesForwarder(stream=False, request_id="req_1", input_estimate=1)
    handler.feed_document(json.dumps({"type": "message", "content": blocks}).encode())
    assert handler.error is None
    assert len(handler.metadata.tools) == MAX_ELEMENTS


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "audio/mpeg"])
@pytest.mark.parametrize("piece", [b"ab" * 9, b"x" * 4000], ids=["small pieces", "large pieces"])
def test_what_is_read_along_has_a_cap(kind: str, piece: bytes) -> None:
    meter = UsageMeter(kind, limit=LIMIT)

    def read() -> None:
        for part in endless(piece, before=b"data: "):
            meter.feed(part)

    assert peak(read) < MOST_HELD
