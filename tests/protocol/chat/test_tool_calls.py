from __future__ import annotations

import pytest

from asgi_llmgate.errors import Broken
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.chat.tool_calls import MOST, Calls
from asgi_llmgate.protocol.messages.events import MessageEmitter, SSEEmitter
from tests.protocol.responses import PLAN

Piece = tuple[int | None, str, str, bytes]
X, Y = rb"{\"x\":1}", rb"{\"y\":2}"


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        ([(0, "a", "A", X), (1, "b", "B", Y)], [("a", "A", X), ("b", "B", Y)]),
        ([(0, "a", "A", b""), (1, "b", "B", b""), (0, "", "", X), (1, "", "", Y)], [("a", "A", X), ("b", "B", Y)]),
        ([(0, "a", "A", X), (0, "b", "B", Y)], [("a", "A", X), ("b", "B", Y)]),
        ([(0, "a", "A", X[:3]), (0, "a", "A", X[3:])], [("a", "A", X)]),
        ([(None, "a", "A", X), (None, "b", "B", Y)], [("a", "A", X), ("b", "B", Y)]),
        ([(None, "a", "A", b""), (None, "b", "B", Y), (None, "a", "", X)], [("a", "A", X), ("b", "B", Y)]),
        ([(None, "a", "A", X[:3]), (None, "", "", X[3:])], [("a", "A", X)]),
        ([(None, "", "A", X), (None, "", "B", Y)], [("", "A", X), ("", "B", Y)]),
        ([(None, "a", "A", X), (None, "a", "A", Y)], [("a", "A", X), ("a", "A", Y)]),
        ([(None, "", "A", X), (None, "", "A", b"")], [("", "A", X)]),
        ([(0, "", "A", b""), (0, "a", "", X)], [("a", "A", X)]),
        ([(0, "a", "", X[:3]), (0, "", "A", X[3:])], [("a", "A", X)]),
        ([(0, "a", "A", b"null")], [("a", "A", b"")]),
        ([(0, "a", "A", rb"{\"x\":"), (0, "", "", b"null"), (0, "", "", b"}")], [("a", "A", rb"{\"x\":null}")]),
    ],
    ids=[
        "index",
        "interleaved",
        "same index, new id",
        "same id again",
        "no index",
        "no index, interleaved",
        "no index, no id",
        "neither, two whole calls",
        "one id for all",
        "an empty last piece",
        "late id",
        "late name",
        "null",
        "null inside",
    ],
)
def test_each_piece_finds_its_call(pieces: list[Piece], calls: list[tuple[str, str, bytes]]) -> None:
    found, known = [], Calls(PLAN, BufferLimit())
    for piece in pieces:
        call, is_new = known.place(*piece)
        if is_new:
            found.append(call)
    assert [(call.id, call.name, bytes(call.arguments)) for call in found] == calls
    assert known.size == sum(len(piece[3]) for piece in pieces)


def test_nothing_is_told_before_there_is_something_to_tell() -> None:
    calls, out = Calls(PLAN, BufferLimit()), SSEEmitter()
    call, _ = calls.place(0, "a", "", X[:3])
    calls.tell(call, out)
    assert out.take() == b""
    calls.place(0, "", "A", X[3:])
    calls.tell(call, out)
    assert out.take().count(b"event:") == 2
    calls.tell(call, out)
    assert out.take() == b""


def test_a_name_that_comes_after_the_block_has_begun_changes_nothing() -> None:
    calls, out = Calls(PLAN, BufferLimit()), MessageEmitter()
    call, _ = calls.place(0, "a", "A", X)
    calls.tell(call, out)
    calls.place(0, "a", "B", b"")
    assert call.name == "A"


def test_there_is_a_limit() -> None:
    calls = Calls(PLAN, BufferLimit())
    for number in range(MOST):
        calls.place(number, "", "A", b"")
    with pytest.raises(Broken, match=str(MOST)):
        calls.place(MOST, "", "A", b"")
