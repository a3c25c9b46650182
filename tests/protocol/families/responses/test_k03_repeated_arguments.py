"""K3: the text of a call's arguments comes again, in whole or in part, or something stands in its place first."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.protocol.responses import B, call, calls, chunk, collected, completion, sse, streamed, tool, whole

VALUE: dict[str, Any] = {"path": "a b.py", "text": 'if (x) { y["z"] }\n', "n": [1, {"m": None}]}
WHOLE = json.dumps(VALUE)
TIGHT = json.dumps(VALUE, separators=(",", ":"))
HALF = len(WHOLE) // 2


def grown(step: int) -> list[str]:
    return [WHOLE[:end] for end in range(step, len(WHOLE), step)] + [WHOLE]


ARGUMENTS: dict[str, list[str | None]] = {
    "the whole again at the end": [WHOLE[:HALF], WHOLE[HALF:], WHOLE],
    "the whole again, with other spaces": [WHOLE[:HALF], WHOLE[HALF:], TIGHT],
    "the whole again in pieces": [WHOLE[:HALF], WHOLE[HALF:], WHOLE[:HALF], WHOLE[HALF:]],
    "the whole again, twice": [WHOLE, WHOLE, WHOLE],
    "the whole again in one piece": [WHOLE + WHOLE],
    "the whole behind its last piece": [WHOLE[:-1], WHOLE[-1:] + WHOLE],
    "the whole where the last bracket is missing": [WHOLE[:-1], WHOLE],
    "the whole with other spaces where the last bracket is missing": [WHOLE[:-1], TIGHT],
    "the whole after a half": [WHOLE[:HALF], WHOLE],
    "the whole after its first bracket": [WHOLE[:1], WHOLE],
    "all so far, each time": list(grown(1)),
    "all so far, in larger steps": list(grown(7)),
    "all so far, and then pieces": [WHOLE[:10], WHOLE[:20], WHOLE[20:30], WHOLE[30:]],
    "all so far, sometimes twice": [WHOLE[:10], WHOLE[:20], WHOLE[:20], WHOLE],
    "an empty object first": ["{}", WHOLE],
    "an empty object first, then pieces": ["{}", WHOLE[:HALF], WHOLE[HALF:]],
    "an empty object and the whole in one piece": ["{}" + WHOLE],
    "an empty object in two pieces first": ["{", "}", WHOLE],
    "an empty object with a space first": ["{ }", " ", WHOLE],
    "an empty string first": ["", WHOLE],
    "null first": [None, WHOLE],
    "the word null first": ["null", WHOLE],
    "an empty string after each piece": [WHOLE[:HALF], "", WHOLE[HALF:], ""],
    "null after it": [WHOLE, None],
    "white space after it": [WHOLE, " \n", "\t"],
}


@pytest.mark.parametrize("named", ["first", "always", "last again"])
@pytest.mark.parametrize("pieces", ARGUMENTS)
def test_the_arguments_are_told_once(pieces: str, named: str) -> None:
    parts = ARGUMENTS[pieces]
    entries = [
        call(0, id="c", name="Edit", args=part)
        if number == 0 or named == "always" or (named == "last again" and number == len(parts) - 1)
        else call(0, args=part)
        for number, part in enumerate(parts)
    ]
    data = sse(*map(calls, entries), chunk(finish="tool_calls"))
    for told in (streamed(data), streamed([data[at : at + 3] for at in range(0, len(data), 3)]), collected(data)):
        assert told.translator.error is None
        assert told.content == [tool("c", "Edit", **VALUE)]
        assert told.translator.changed == []


@pytest.mark.parametrize("pieces", ARGUMENTS)
def test_the_same_with_a_call_behind_it(pieces: str) -> None:
    first, *rest = ARGUMENTS[pieces]
    events = [
        calls(call(0, id="c", name="Edit", args=first), call(1, **B)),
        *(calls(call(0, args=part)) for part in rest),
    ]
    told = streamed(sse(*events, chunk(finish="tool_calls")))
    assert told.content == [tool("c", "Edit", **VALUE), tool("b", "B", y=2)]


@pytest.mark.parametrize("again", [[WHOLE], [TIGHT], [WHOLE[:HALF], WHOLE[HALF:]], ["{}"], [" "]])
@pytest.mark.parametrize("id", ["c", None])
def test_a_repetition_after_the_call_was_closed(again: list[str], id: str | None) -> None:
    first = call(0, id="c", name="Edit", args=WHOLE)
    later = [calls(call(0, id=id, args=part)) for part in again]
    told = streamed(sse(calls(first), calls(call(1, **B)), chunk(content="So."), *later, chunk(finish="tool_calls")))
    assert [block["type"] for block in told.content] == ["tool_use", "tool_use", "text"]
    assert told.content[0] == tool("c", "Edit", **VALUE)


@pytest.mark.parametrize(
    "pieces",
    [
        ['{"a":', '{"a":', "1}}"],
        ['{"a":', '{"a":{', '"a":1}}}'],
        ['{"a":[', '{"a":[', "1]}]}"],
        ['{"a":[{"a":1},', '{"a":1}', "]}"],
        ['{"code":"', "{", "}", '{}"}'],
        ['{"code":"{\\"a\\":1}', '{\\"a\\":1}', '"}'],
        ['{"code":"', '{\\"code\\":\\"', '\\"}"}'],
        ['{"a":{}', ',"b":{}', "}"],
    ],
    ids=str,
)
def test_what_only_looks_like_a_repetition_is_none(pieces: list[str]) -> None:
    value = json.loads("".join(pieces))
    first, *rest = pieces
    events = [calls(call(0, id="c", name="Edit", args=first)), *(calls(call(0, args=part)) for part in rest)]
    told = streamed(sse(*events, chunk(finish="tool_calls")))
    assert told.content == [tool("c", "Edit", **value)]
    assert told.translator.changed == []


@pytest.mark.parametrize("pieces", [[WHOLE + WHOLE], ["{}" + WHOLE], [WHOLE + " "]])
def test_a_whole_response(pieces: list[str]) -> None:
    told = whole(completion("tool_calls", tool_calls=[call(0, id="c", name="Edit", args=piece) for piece in pieces]))
    assert told.content == [tool("c", "Edit", **VALUE)]
    assert told.translator.changed == []


def test_an_empty_object_is_all_where_nothing_follows() -> None:
    data = sse(calls(call(0, id="c", name="List", args="{}")), chunk(content="So."), chunk(finish="tool_calls"))
    for told in (streamed(data), collected(data)):
        assert [block["type"] for block in told.content] == ["tool_use", "text"]
        assert told.content[0] == tool("c", "List")


def test_other_arguments_that_come_later_are_left_out_and_named() -> None:
    first = call(0, id="c", name="Edit", args=WHOLE)
    told = streamed(sse(calls(first), calls(call(0, args='{"path":"other"}')), chunk(finish="tool_calls")))
    assert told.content == [tool("c", "Edit", **VALUE)]
    assert told.translator.changed == ["tool_calls.arguments"]
