from __future__ import annotations

import pytest

from asgi_llmgate.errors import Broken
from asgi_llmgate.protocol.buffer_limit import MAX_TOOL_CALLS, BufferLimit
from asgi_llmgate.protocol.chat.tool_calls import ToolCallAssembler

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
    found, assembler = [], ToolCallAssembler(BufferLimit())
    for piece in pieces:
        call, is_new = assembler.add(*piece)
        if is_new:
            found.append(call)
    assert [(call.id, call.name, bytes(call.arguments)) for call in found] == calls
    assert assembler.size == sum(len(piece[3]) for piece in pieces)


def test_a_repetition_that_ends_behind_another_call_is_none() -> None:
    assembler = ToolCallAssembler(BufferLimit())
    first, _ = assembler.add(0, "a", "A", X)
    again, is_new = assembler.add(1, "a", "A", X[:4])
    assert (again.original, is_new) == (first, False)
    third, _ = assembler.add(2, "c", "C", Y[:4])
    assert assembler.add(1, "", "", X[4:]) == (again, False)
    assert again.closed
    assert assembler.add(1, "", "", b" ") == (first, False)
    assert assembler.add(None, "", "", Y[4:]) == (third, False)
    assert assembler.settle() == []
    assert not assembler.has_lost_text()


def test_the_number_of_calls_is_limited() -> None:
    assembler = ToolCallAssembler(BufferLimit())
    for number in range(MAX_TOOL_CALLS):
        assembler.add(number, "", "A", b"")
    with pytest.raises(Broken, match=str(MAX_TOOL_CALLS)):
        assembler.add(MAX_TOOL_CALLS, "", "A", b"")


@pytest.mark.parametrize("retained", [BufferLimit(), None], ids=["kept", "scanned"])
def test_a_closed_call_keeps_no_arguments(retained: BufferLimit | None) -> None:
    assembler = ToolCallAssembler(retained)
    call, _ = assembler.add(0, "a", "A", X)
    assert (call.arguments == X) == (retained is not None)
    assembler.close(call)
    assert call.closed
    assert not call.arguments
    if retained is not None:
        assert 0 < retained.size < 2000
