from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llmgate.errors import InvalidRequest, StructureTooLarge
from asgi_llmgate.protocol.forwarded_request import decode_forwarded
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.rawjson import objects, structure
from asgi_llmgate.protocol.rawjson.structure import STRUCTURE, Structure

values = st.recursive(
    st.none() | st.integers() | st.text('ab"\\\\{}[],é\n', max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('a"\\\\{', max_size=3), inner, max_size=4),
    max_leaves=30,
)


def measured(value: Any) -> tuple[int, int]:
    """How many values, an empty array or object counted as one that holds one; and how deep."""
    if not isinstance(value, (dict, list)):
        return 0, 0
    inner = [measured(each) for each in (value.values() if isinstance(value, dict) else value)]
    return max(1, len(inner)) + sum(count for count, _ in inner), 1 + max((depth for _, depth in inner), default=0)


@given(values, st.booleans())
def test_values_and_depth_are_counted_outside_of_strings(value: Any, spaced: bool) -> None:
    body = json.dumps([value] * 3, indent=1 if spaced else None, ensure_ascii=False).encode()
    count, depth = measured([value] * 3)
    for size in (1, 2, 3, 7, 1000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(structure, "_SLICE", size)
            assert _refused(body, Structure(values=count, depth=depth)) == ""
            assert "values" in _refused(body, Structure(values=count - 1, depth=depth))
            assert "levels deep" in _refused(body, Structure(values=count, depth=depth - 1))


def _refused(body: bytes, limits: Structure) -> str:
    try:
        limits._count(body)
    except StructureTooLarge as error:
        return error.message
    return ""


def test_strings_without_anything_between_them_are_counted_too() -> None:
    assert "more than 10 values" in _refused(b'""' * 100, Structure(values=10))


@pytest.mark.parametrize("rest", ["]", "}", "]}", "}]", " ] ", "]\n", ']"x"', "]1", "],", "}:"])
@pytest.mark.parametrize("begun", ["", "{}", "[]", '{"model":"m"}', '"["', '"\\""', "[[]]", '{"a":[1,2]}'])
def test_a_body_that_closes_more_than_it_opens_is_given_up_in_its_first_slice(
    begun: str, rest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing brackets are no values: a body of nothing else was looked at to its end, bracket by bracket."""
    slices = 0

    def counted(piece: bytes) -> list[bytes]:
        nonlocal slices
        slices += 1
        return between(piece)

    between = structure._between_quotes
    monkeypatch.setattr(structure, "_between_quotes", counted)
    with pytest.raises(InvalidRequest, match="closes more brackets than it opens"):
        Structure()._count((begun + rest).encode() + b"]" * structure._SLICE * 4)
    assert slices == 1


def test_a_short_body_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "_SLICE", None)
    Structure(values=10).check(b"[1,1,1,1,1,1,1,1,1]")


def test_a_long_body_with_few_commas_and_brackets_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Structure, "_count", None)
    Structure(values=10).check(b'{"a":"%s","b":[1,2,3,4,5,6]}' % (b"a" * 3 * structure._SLICE))


def message(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def within(levels: int) -> dict[str, Any]:
    inner: Any = {"type": "text", "text": "x"}
    for _ in range(levels):
        inner = {"type": "tool_result", "tool_use_id": "t", "content": [inner]}
    return inner


TEXT = {"type": "text", "text": "x"}
USER = {"role": "user", "content": "x"}
TOOL = {"name": "a", "input_schema": {}}
SMALL = Structure(depth=8, values=200, names=10, messages=3, blocks=6, tools=3, model=8)


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"messages": [USER] * 4}, "messages: 4 messages; at most 3 are allowed"),
        ({"messages": [message(*[TEXT] * 7)]}, "messages: 7 blocks; at most 6 are allowed"),
        ({"messages": [message(TEXT, TEXT), message(*[TEXT] * 5)]}, "messages: 7 blocks;"),
        ({"system": [TEXT] * 5, "messages": [message(TEXT, TEXT)]}, "messages: 7 blocks;"),
        ({"messages": [message({**within(1), "content": [TEXT] * 6})]}, "messages: 7 blocks;"),
        ({"messages": [message(within(5))]}, "content: blocks are nested more than 4 levels deep"),
        ({"tools": [TOOL] * 4}, "tools: 4 tools; at most 3 are allowed"),
        ({"tools": [{"name": "a", "input_schema": nested(9)}]}, "nested more than 8 levels deep"),
        ({"messages": [message({"type": "tool_use", "id": "a", "name": "a", "input": nested(9)})]}, "8 levels deep"),
        ({"model": "m" * 9}, "model: 9 characters; at most 8 are allowed"),
        ({f"n{index}": 1 for index in range(9)}, "the request body: 12 names; at most 10 are allowed"),
        ({"x": [1] * 250}, "the request body has more than 200 values"),
        ({"x": nested(8)}, "nested more than 8 levels deep"),
        ({"x": nested(60), "y": "y" * 400}, "nested more than 8 levels deep"),
        ({"messages": [message({"type": "odd", "x": nested(9)})]}, "nested more than 8 levels deep"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_over_a_limit_a_messages_request_is_refused(encode: Any, fields: Any, complaint: str) -> None:
    with pytest.raises(StructureTooLarge, match=complaint):
        decode_messages(encode(**{"model": "m", **fields}), structure=SMALL)


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [USER] * 3},
        {"system": [TEXT] * 2, "messages": [message({**within(1), "content": [TEXT]})]},
        {"messages": [message(within(3))]},
        {"tools": [{"name": "a", "input_schema": nested(8)}] * 3},
        {"tools": [{"name": "a", "input_schema": {"a": [{}] * 9}}]},
        {"model": "m" * 8},
        {f"n{index}": 1 for index in range(7)},
        {"x": '[{,"' * 200},
        {"x": nested(7)},
        {"messages": [message({"type": "odd", "x": nested(8)})]},
    ],
    ids=[
        "messages",
        "blocks",
        "blocks in blocks",
        "tools",
        "a wide schema",
        "model",
        "names",
        "in a string",
        "depth",
        "a block",
    ],
)
def test_up_to_a_limit_a_messages_request_is_taken(encode: Any, fields: Any) -> None:
    assert decode_messages(encode(**{"model": "m", **fields}), structure=SMALL)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"messages": [USER] * 4}, "messages: 4 messages"),
        ({"tools": [{"type": "a"}] * 4}, "tools: 4 tools"),
        ({"functions": [{"name": "a"}] * 4}, "functions: 4 tools"),
        ({"model": "m" * 9}, "model: 9 characters"),
        ({"x": nested(9)}, "nested more than 8 levels deep"),
        ({"x": {f"n{index}": 1 for index in range(11)}}, "an object: 11 names"),
        ({"x": [1] * 250}, "more than 200 values"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_over_a_limit_a_body_that_is_handed_on_is_refused(fields: Any, complaint: str) -> None:
    body = json.dumps({"model": "m", **fields}).encode()
    with pytest.raises(StructureTooLarge, match=complaint):
        decode_forwarded(body, needs_model=True, structure=SMALL)


@pytest.mark.parametrize("name", ["messages", "tools", "functions"])
def test_where_nobody_knows_what_a_body_is_its_lists_are_only_counted_as_values(name: str) -> None:
    assert decode_forwarded(json.dumps({name: [{}] * 10}).encode(), needs_model=False, structure=SMALL)


def test_a_turn_of_the_real_client_stays_ten_times_below_the_defaults() -> None:
    """Counted in what Claude Code 2.1 sends, without tool search."""
    turn = {"values": 816, "names": 12, "messages": 8, "blocks": 13, "tools": 22}
    assert all(10 * count <= getattr(STRUCTURE, limit) for limit, count in turn.items())


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ([[1234, 5] * 60] * 9, True),
        ([1] * 900, True),
        ([["a", *[1] * 90], [2.5e3, -1, 0, 12] * 90], True),
        ([{}, *[1] * 300], False),
        ([*[1] * 300, {}], False),
        ([[], *[12.5] * 300], False),
        ([["a"] * 90, ["b"] * 120], False),
        ([[{"a": 1}] * 120], False),
        ([[[1]]] * 90, False),
        ([True] * 300, False),
        ([1] * 3900, True),
        ([1] * 4100, False),
    ],
    ids=lambda value: str(value)[:20],
)
def test_texts_to_embed_may_be_many_numbers_that_are_not_opened(value: Any, taken: bool) -> None:
    for separators in ((",", ":"), (" , ", " : ")):
        body = json.dumps({"model": "m", "input": value}, separators=separators).encode()
        if taken:
            assert decode_forwarded(body, needs_model=False, structure=SMALL)
        else:
            with pytest.raises(StructureTooLarge, match="more than 200 values"):
                decode_forwarded(body, needs_model=False, structure=SMALL)
        with pytest.raises(StructureTooLarge, match="more than 200 values"):
            decode_forwarded(body, needs_model=True, structure=SMALL)


def test_what_is_no_list_of_objects_is_not_opened_to_find_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_decode_elements", None)
    asked = decode_forwarded(json.dumps({"messages": [1] * 900, "tools": ["a"] * 9}).encode(), needs_model=False)
    assert (asked.message_count, asked.has_images, asked.tool_names) == (0, False, ())


@pytest.mark.parametrize("text", [r"\\" * 9000, r"\"" * 9000, r"\n" * 9000, "a" * 9000, " " * 9000, "[{" * 9000])
def test_few_elements_are_not_counted_again(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An array cannot have more of them than commas, wherever those stand."""
    monkeypatch.setattr(structure, "_between_quotes", None)
    SMALL.check_elements(f'["{text}",{{}}]'.encode())
