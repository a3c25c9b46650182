"""The work of a piece of an answer does not depend on how many came before it, whatever the pieces are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import cycle, islice
from typing import Any

import pytest
from msgspec.structs import replace

from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.chat.forwarding import ChatForwarder
from asgi_llmgate.protocol.messages.events import MessageEmitter, SSEEmitter
from asgi_llmgate.protocol.messages.forwarding import MessagesForwarder
from asgi_llmgate.protocol.messages.judged_forwarding import JudgedForwarder
from asgi_llmgate.protocol.response_handler import ResponseHandler
from asgi_llmgate.protocol.sse import SSEReader
from asgi_llmgate.protocol.translation.response.translator import Translator
from asgi_llmgate.protocol.usage_meter import UsageMeter
from tests.helpers.counted_work import handled
from tests.protocol.responses import PLAN, call, calls, chunk, counted

WORDS = "all work and no play makes Jack a dull boy, " * 4
TAGGED = replace(PLAN, think_tags=True)


def event(data: Any, newline: str = "\n") -> bytes:
    return f"data: {data if isinstance(data, str) else json.dumps(data)}{newline}{newline}".encode()


def said(**delta: Any) -> bytes:
    return event(chunk(**delta))


def more(arguments: str, index: int | None = 0, **named: Any) -> bytes:
    return event(calls(call(index, args=arguments, **named)))


OPENED = more('{"a":"', id="call_1", name="Write")
BEHIND = more('{"b":', 1, id="call_2", name="Read")
THOUGHT = said(content="<think>" + WORDS)


def each(piece: bytes, *before: bytes) -> Callable[[int], list[bytes]]:
    return lambda number: [*before, *[piece] * number]


def numbered(make: Callable[[int], bytes], *before: bytes) -> Callable[[int], list[bytes]]:
    return lambda number: [*before, *map(make, range(number))]


def alternating(*pieces: bytes, before: Iterable[bytes] = ()) -> Callable[[int], list[bytes]]:
    return lambda number: [*before, *islice(cycle(pieces), number)]


def cut(make: Callable[[int], bytes], size: int = 1) -> Callable[[int], list[bytes]]:
    """One stream in pieces of so many bytes."""

    def pieces(number: int) -> list[bytes]:
        data = make(number)
        return [data[start : start + size] for start in range(0, len(data), size)]

    return pieces


SHAPES: dict[str, Callable[[int], list[bytes]]] = {
    "text": each(said(content=WORDS)),
    "text, a character at a time": each(said(content="a")),
    "escaped text": each(event(r'{"choices":[{"delta":{"content":"\u0041\ud83d\ude00\n"}}]}')),
    "thinking": each(said(reasoning_content=WORDS)),
    "thinking in details": each(said(reasoning_details=[{"type": "reasoning.text", "text": WORDS}])),
    "a refusal": each(said(refusal=WORDS)),
    # few enough that all of them stay below the text that is kept back before a `</think>`
    "content parts": each(said(content=[{"type": "text", "text": WORDS}] * 3)),
    "text and thinking in turn": alternating(said(content=WORDS), said(reasoning=WORDS)),
    "arguments": each(more(WORDS), OPENED),
    "arguments, a character at a time": each(more("a"), OPENED),
    "arguments with a call behind them": each(more(WORDS), OPENED, BEHIND),
    "braces in a string with a call behind them": each(more("}" * 160), OPENED, BEHIND),
    "quotes with a call behind them": each(more(r"\"}" * 60), OPENED, BEHIND),
    "backslashes with a call behind them": each(more("\\" * 151 + "}"), OPENED, BEHIND),
    "objects with a call behind them": each(more(',"key":{"a":[1,{}]}' * 9), more('{"a":0', id="1", name="A"), BEHIND),
    "brackets that open with a call behind them": each(more('[{"a":{}' * 20), OPENED, more('"'), BEHIND),
    "space after a whole call": each(more(" " * 160), more("{}", id="1", name="A")),
    "arguments that are no object, with a call behind them": each(more("}" * 160), more("[", id="1", name="A"), BEHIND),
    "arguments of a call that waits": each(more(WORDS, 1), OPENED, BEHIND),
    "arguments without an index": each(more(WORDS, None), OPENED),
    "arguments as an object": each(event(calls(call(0, args={"a": WORDS}))), OPENED),
    "id and name on each piece": each(more(WORDS, id="call_1", name="Write"), OPENED),
    "a name on each piece that looks like a beginning": each(more("{" + WORDS, None, name="Write"), OPENED),
    "a name that is told again and again": each(event(calls(call(0, name="Write" * 20)))),
    "a name in pieces": numbered(lambda i: event(calls(call(0, name="ab"[i % 2])))),
    "calls": numbered(lambda i: more('{"a":1}', i, id=f"call_{i}", name="Read")),
    "arguments that end in a brace with a call behind them": each(more("y" * 59 + "}"), OPENED, BEHIND),
    "whole arguments again and again": each(more('{"a":"b"}', id="1", name="A")),
    "arguments again, in pieces": alternating(
        more('{"a":'), more('"b"}'), before=[more('{"a":"b"}', id="1", name="A")]
    ),
    "arguments that look like a repetition": each(more('{"a":"' + WORDS), OPENED),
    "something after whole arguments": each(more(WORDS), more("{}", id="1", name="A"), more("x")),
    "an empty object again and again": each(more("{}"), more("{}", id="1", name="A")),
    "arguments that are no object": each(more(WORDS), more("[", id="1", name="A")),
    "an id for each piece of arguments": numbered(lambda i: more(WORDS, 0, id=f"call_{i}"), OPENED),
    "one id for all calls": numbered(lambda i: more(json.dumps({"a": i}), i, id="call_1", name="Read")),
    "one call under many indexes": numbered(lambda i: more('{"a":1}', i, id="call_1", name="Read")),
    "calls that all wait": numbered(lambda i: more('{"a":1', i, id=f"call_{i}", name="Read")),
    "calls of one index": numbered(lambda i: more('{"a":1}', 0, id=f"call_{i}", name="Read")),
    "calls without index and id": numbered(lambda i: more('{"a":1}', None, name=f"Read{i}")),
    "interleaved calls": numbered(lambda i: more(WORDS, i % 16, **({} if i > 15 else {"id": f"{i}", "name": "A"}))),
    "many calls in one event": lambda number: [event(calls(*[call(0, args=WORDS)] * number))],
    "choices that count the chunks": numbered(lambda i: event({"choices": [{"index": i, "delta": {"content": "a"}}]})),
    "choices in turn": numbered(lambda i: event({"choices": [{"index": i % 2, "delta": {"content": WORDS}}]})),
    "half characters": each(event(r'{"choices":[{"delta":{"content":"\ude00a\ud83d"}}]}')),
    "half characters in arguments": each(more("\ude00a\ud83d"), OPENED),
    "nested content": each(said(content=[[["a"] * 20] * 5] * 5, reasoning={"summary": [{"text": WORDS}]})),
    "many choices in one event": lambda number: [event({"choices": [{"delta": {"content": "a"}}] * number})],
    "many parts in one event": lambda number: [said(content=[{"type": "text", "text": "a"}] * number)],
    "text behind a call": each(said(content=WORDS), OPENED),
    "thinking behind a call": each(said(reasoning=WORDS), OPENED),
    "text and thinking in turn behind a call": alternating(said(content=WORDS), said(reasoning=WORDS), before=[OPENED]),
    "a call of the old kind": each(event(chunk(function_call={"name": "A", "arguments": WORDS}))),
    "thinking in tags": each(said(content=WORDS), THOUGHT),
    "thinking in tags that nearly end": each(said(content="</thin" * 25), THOUGHT),
    "thinking in tags that nearly end, in pieces": alternating(
        *(said(content=letter) for letter in "</thi"), before=[THOUGHT]
    ),
    "white space that a tag may follow": each(said(content=" " * 160)),
    "line breaks after a tag": each(said(content="\n" * 160), said(content="<think>")),
    "line breaks after thinking": each(said(content="\n" * 160), said(content="<think>a</think>")),
    "usage on each chunk": each(event(chunk(content="a", usage=counted()))),
    "an end on each chunk": each(event(chunk(content="a", finish=""))),
    "keep-alives": each(b"data: null\n\n: still here\n\n\n"),
    "comments": each(b": " + WORDS.encode() + b"\n"),
    "other fields": each(b"event: a\nid: 1\nretry: 5\n"),
    "empty events": each(b"data:\n\n"),
    "lines of one event": each(b"data: " + WORDS.encode() + b"\n"),
    "empty lines of one event": each(b"data:\n", b"data: a\n"),
    "a line without an end": each(WORDS.encode(), b"data: "),
    "a comment without an end": each(WORDS.encode(), b": "),
    "a byte at a time": cut(lambda number: said(content="a") * (number // 10)),
    "CRLF, a byte at a time": cut(lambda number: event(chunk(content="a"), "\r\n") * (number // 10)),
    "CR, two bytes at a time": cut(lambda number: event(chunk(content=WORDS), "\r") * (number // 10), 2),
    "half a character at a time": cut(lambda number: said(content="\u00e9" * 90) * (number // 10), 3),
    "messages of Anthropic's": each(
        event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": WORDS}})
    ),
    "calls of Anthropic's": numbered(
        lambda i: event(
            {
                "type": "content_block_start",
                "index": i,
                "content_block": {"type": "tool_use", "id": f"{i}", "name": f"A{i}"},
            }
        )
    ),
}

ANTHROPICS = [shape for shape in SHAPES if "Anthropic" in shape]

HANDLERS: dict[str, Callable[[], ResponseHandler]] = {
    "translated": lambda: Translator(TAGGED, SSEEmitter("req_1")),
    "put together": lambda: Translator(TAGGED, MessageEmitter()),
    "handed on": lambda: ChatForwarder(stream=True, request_id="req_1", input_estimate=1),
}


def carry(pieces: list[bytes], handler: ResponseHandler, *, whole: bool) -> None:
    reader = SSEReader()
    for piece in pieces:
        for data in reader.feed(piece):
            handler.feed_event(data)
        if not whole:
            handler.take()
    for data in reader.end():
        handler.feed_event(data)
    handler.end()


def meter(pieces: list[bytes]) -> None:
    along = UsageMeter("text/event-stream")
    for piece in pieces:
        along.feed(piece)
    along.end()


def is_linear(work: Callable[[int], Callable[[], object]], least: int = 20) -> None:
    """Twice the pieces are twice the work: what is added from 2n to 4n is twice what is added from n to 2n."""
    counts = [handled(work(number), "asgi_llmgate.protocol") for number in (least, 2 * least, 4 * least)]
    for one, two, four in zip(*counts, strict=True):
        assert four - two <= 2.3 * (two - one) + 2000, counts


CALLING = ("call", "name", "argument")
"""What the three handlers do differently."""

CASES = [
    (shape, handler)
    for shape in SHAPES
    for handler in HANDLERS
    if shape not in ANTHROPICS and (handler == "translated" or any(word in shape for word in CALLING))
]


@pytest.mark.parametrize(("shape", "handler"), CASES)
def test_the_work_of_a_piece_does_not_grow(shape: str, handler: str) -> None:
    whole = handler == "put together"
    is_linear(lambda number: lambda: carry(SHAPES[shape](number), HANDLERS[handler](), whole=whole))


@pytest.mark.parametrize("shape", [*ANTHROPICS, "text", "keep-alives", "a byte at a time"])
def test_the_same_of_a_server_that_speaks_the_client_s_own_wire(shape: str) -> None:
    def work(number: int) -> Callable[[], object]:
        native = MessagesForwarder(stream=True, request_id="req_1", input_estimate=1)
        return lambda: carry(SHAPES[shape](number), native, whole=False)

    is_linear(work)


@pytest.mark.parametrize("shape", ANTHROPICS)
def test_the_same_where_verdicts_are_asked_for(shape: str) -> None:
    def work(number: int) -> Callable[[], object]:
        judged = JudgedForwarder(stream=True, request_id="req_1", input_estimate=1, retained=BufferLimit())
        return lambda: carry(SHAPES[shape](number), judged, whole=False)

    is_linear(work)


@pytest.mark.parametrize("shape", ["text", "a call of the old kind", "escaped text", "interleaved calls"])
def test_the_same_of_an_answer_that_is_cut_back(shape: str) -> None:
    plan = replace(PLAN, output_limit=9999, prefill="all")

    def work(number: int) -> Callable[[], object]:
        return lambda: carry(SHAPES[shape](number), Translator(plan, SSEEmitter("req_1")), whole=False)

    is_linear(work)


@pytest.mark.parametrize("shape", ["text", "lines of one event", "a line without an end", "a byte at a time"])
def test_reading_along_costs_the_same_for_each_piece(shape: str) -> None:
    is_linear(lambda number: lambda: meter(SHAPES[shape](number)))


def test_the_measure_sees_what_grows_with_its_square() -> None:
    class Copying:
        def __init__(self) -> None:
            self.held = b""

        def feed(self, piece: bytes) -> None:
            self.held += piece

    def work(number: int) -> Callable[[], object]:
        def run() -> None:
            copying = Copying()
            for _ in range(number):
                copying.feed(WORDS.encode())

        return run

    counts = [handled(work(number), __name__)[1] for number in (60, 120, 240)]
    assert counts[2] - counts[1] > 3 * (counts[1] - counts[0])
