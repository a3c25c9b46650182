from __future__ import annotations

import json

import pytest

from asgi_llmgate.errors import Broken
from asgi_llmgate.protocol.buffer_limit import MAX_CALL_ID, MAX_TOOL_NAME
from asgi_llmgate.protocol.chat.assembled_call import AssembledCall
from asgi_llmgate.protocol.rawjson.strings import escape, unescape


def assembled(*pieces: str, name: str = "A") -> AssembledCall:
    call = AssembledCall(1)
    call.add("a", name, b"")
    for piece in pieces:
        call.add("", "", escape(piece))
    return call


def taken(*pieces: str) -> list[str]:
    call, found = AssembledCall(1), []
    for piece in pieces:
        call.add("", "A", escape(piece))
        found.append(unescape(call.take()))
    return found


@pytest.mark.parametrize(
    ("pieces", "phase", "arguments"),
    [
        ([], "blank", ""),
        ([" ", "\n"], "blank", " \n"),
        (["null"], "blank", ""),
        (["null", "{", "}"], "empty", "{}"),
        (['{"x":'], "open", '{"x":'),
        (['{"x":', "null"], "open", '{"x":null'),
        (['{"x":1}'], "complete", '{"x":1}'),
        (['{"x":', "1", "}"], "complete", '{"x":1}'),
        (['{"x":{"y":1}', "}"], "complete", '{"x":{"y":1}}'),
        (['{"x":"}"', "}"], "complete", '{"x":"}"}'),
        (['{"x":"\\"}', '"}'], "complete", '{"x":"\\"}"}'),
        (["{}"], "empty", "{}"),
        (["{", " ", "}"], "empty", "{ }"),
        (["{}", " "], "empty", "{} "),
        (["{}", '{"x":1}'], "complete", '{"x":1}'),
        (["{}", '{"x"', ":1}"], "complete", '{"x":1}'),
        (["{}", " ", ' {"x"', ":1}"], "complete", ' {"x":1}'),
        (["{}{}"], "empty", "{}"),
        (['{}{"x":1}'], "complete", '{"x":1}'),
        (["{}", "}"], "complete", "{}"),
        (['{"x":1}', '{"x":1}'], "complete", '{"x":1}'),
        (['{"x":1}{"x":1}'], "complete", '{"x":1}'),
        (['{"x":1} and so on'], "complete", '{"x":1}'),
        (['{"x":1', "}}"], "complete", '{"x":1}'),
        (["[1]"], "other", "[1]"),
        (["[", "1]"], "other", "[1]"),
        (['"{}"'], "other", '"{}"'),
        (["{'x':1}"], "other", "{'x':1}"),
        (['{"x":1', ",}", " so"], "other", '{"x":1,} so'),
        (['{"x', '{"x":1', '{"x":1}'], "complete", '{"x":1}'),
        (["{", '{"x":1}'], "complete", '{"x":1}'),
        (['{"x":"a', '{"x":"a{', '{"x":"a{b"}'], "complete", '{"x":"a{b"}'),
        (['{"x": "a"', '{"x":"a"}'], "complete", '{"x": "a"}'),
        (['{"x": "a"', '{"x": "a"', '{"x": "a"}'], "complete", '{"x": "a"}'),
        (['{"x":', '{"x":1}', "}"], "complete", '{"x":{"x":1}}'),
        (['{"x":[', '{"x":[1]}', "]}"], "complete", '{"x":[{"x":[1]}]}'),
        (['{"x":"a ', "{ b }", '"}'], "complete", '{"x":"a { b }"}'),
        (['{"y":"a', '{"x":1}'], "open", '{"y":"a{"x":1}'),
    ],
    ids=str,
)
def test_the_arguments(pieces: list[str], phase: str, arguments: str) -> None:
    call = assembled(*pieces)
    assert (call.phase, unescape(bytes(call.arguments))) == (phase, arguments)
    assert call.is_complete() == (phase == "complete")
    assert call.has_ended() == (phase in ("complete", "empty"))


@pytest.mark.parametrize(
    ("pieces", "found"),
    [
        (["", " ", '{"x"', ":1", "}", '{"x":1}'], ["", "", ' {"x"', ":1", "}", ""]),
        (["{}", '{"x":1}'], ["", '{"x":1}']),
        (["[1", "]"], ["", ""]),
        (["{'x':1}", " "], ["", ""]),
        (['{"x"', ":}", "!"], ['{"x"', ":}", "!"]),
        (['{"x"', '{"x":1', '{"x":1}'], ['{"x"', ":1", "}"]),
        (['{"x":1} {'], ['{"x":1}']),
    ],
    ids=str,
)
def test_what_may_be_passed_on_already(pieces: list[str], found: list[str]) -> None:
    assert taken(*pieces) == found


@pytest.mark.parametrize(
    ("pieces", "arguments", "is_repaired"),
    [
        ([], {}, False),
        ([" "], {}, False),
        (["{}"], {}, False),
        (['{"x":1}'], {"x": 1}, False),
        (['{"x":1\\u007d'], None, False),
        (["{'x':1}"], {"x": 1}, True),
        (['"', '{\\"x\\":1}"'], {"x": 1}, True),
        (["[1]"], None, False),
        (['{"x":'], None, False),
    ],
    ids=str,
)
def test_the_end_of_the_arguments(pieces: list[str], arguments: object, is_repaired: bool) -> None:
    call = assembled(*pieces)
    before = bytes(call.arguments)
    call.finish()
    assert call.repaired == is_repaired
    if arguments is None:
        assert not call.is_complete()
        assert call.take_rest() == before
    else:
        assert json.loads(unescape(call.take_rest())) == arguments
        assert call.is_complete()


def test_a_last_bracket_that_is_escaped_is_found_at_the_end() -> None:
    call = AssembledCall(1)
    call.add("", "A", rb"{\"x\":1\u007d")
    assert call.phase == "open"
    assert call.take()
    call.finish()
    assert call.is_complete()


def test_what_has_been_passed_on_is_not_repaired() -> None:
    call = assembled('{"x"')
    assert call.take()
    call.add("", "", b":1,}")
    call.add("", "", b"!")
    call.finish()
    assert not call.repaired
    assert unescape(bytes(call.arguments)) == '{"x":1,}!'


@pytest.mark.parametrize(
    ("after", "is_lost"),
    [
        ([], False),
        ([" ", "\n"], False),
        (['{"x":1}'], False),
        (['{"x":1}', '{"x":1}'], False),
        (['{ "x": 1 }'], False),
        (['{"x"', ": ", "1}"], False),
        (["}"], True),
        (['{"x":2}'], True),
        (['{"x"', ":2}"], True),
        ([" " * 9000], False),
        (["y" * 900] * 3, True),
        (["y" * 900, '{"x":1}', " " * 900], True),
    ],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_what_comes_after_the_arguments(after: list[str], is_lost: bool, closed: bool) -> None:
    call = assembled('{"x":', "1}")
    if closed:
        call.close()
    for piece in after:
        call.add("", "", escape(piece))
    assert call.has_lost_text() == is_lost
    assert call.size < 1100
    assert call.closed == closed


def test_a_call_that_keeps_nothing_knows_when_it_ends() -> None:
    call = AssembledCall(1, keeps_arguments=False)
    for piece in ('{"x":"', "}", '"', "}", '{"x":"}"}'):
        assert call.phase != "complete" or piece.startswith("{")
        call.add("", "a" * 300, escape(piece))
    assert (call.phase, call.size, call.name) == ("complete", 0, "a" * MAX_TOOL_NAME)
    assert not call.is_same(escape('{"x":"}"}'))


@pytest.mark.parametrize(
    ("names", "name"),
    [(["Read", "Read"], "Read"), (["Re", "ad"], "Read"), (["Re", "Read"], "Read"), (["", "Read"], "Read")],
)
def test_a_name_in_pieces(names: list[str], name: str) -> None:
    call = AssembledCall(1)
    for piece in names:
        call.add("", piece, b"")
    assert call.name == name
    call.add("", "", b"{")
    call.add("", "Write", b"")
    assert call.name == name


@pytest.mark.parametrize(("call_id", "name"), [("a" * (MAX_CALL_ID + 1), ""), ("", "a" * (MAX_TOOL_NAME + 1))])
def test_an_id_or_a_name_that_is_too_long(call_id: str, name: str) -> None:
    with pytest.raises(Broken, match="over"):
        AssembledCall(1).add(call_id, name, b"")


def test_a_call_begins_with_another_and_is_completed_by_it() -> None:
    call, other = assembled('{"x": "a"'), assembled('{"x":"a", "y":2}')
    assert other.begins(bytes(call.arguments))
    assert not call.begins(bytes(other.arguments))
    call.complete_with(other)
    assert json.loads(unescape(bytes(call.arguments))) == {"x": "a", "y": 2}
    assert call.is_complete()
