from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llmgate.protocol.rawjson.brackets import BracketScanner, compact

VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='{}[]"\\\\ aé\n'),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='{"\\\\', max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


def cut(text: str, places: set[int]) -> list[str]:
    ends = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(ends)]


@given(st.dictionaries(st.text(max_size=5), VALUES), st.sets(st.integers(0, 10**6), max_size=12), st.booleans())
def test_an_object_ends_where_its_last_bracket_is(value: object, places: set[int], is_ascii: bool) -> None:
    text, scanner = json.dumps(value, ensure_ascii=is_ascii), BracketScanner()
    assert all(scanner.feed(piece) < 0 for piece in cut(text[:-1], places))
    assert scanner.feed(text[-1:] + ' {"more":"}"}') == 1


@given(st.text(alphabet='{}[]"\\\\ a,:', max_size=30), st.sets(st.integers(0, 10**6), max_size=8))
def test_where_a_text_is_cut_changes_nothing(text: str, places: set[int]) -> None:
    whole, scanner, before, found = BracketScanner(), BracketScanner(), 0, -1
    for piece in cut("{" + text, places):
        found = scanner.feed(piece)
        if found >= 0:
            found += before
            break
        before += len(piece)
    assert found == whole.feed("{" + text)
    assert found >= 0 or scanner.takes_value == whole.takes_value


@pytest.mark.parametrize(
    ("text", "takes_value"),
    [
        ("", True), (" ", True), ("{", False), ('{"a"', False), ('{"a":', True), ('{"a": ', True), ('{"a":1', False),
        ('{"a":1,', True), ('{"a":[', True), ('{"a":[1', False), ('{"a":"b', False), ('{"a":"b:', False),
        ('{"a":"b\\"', False), ('{"a":"b"', False), ('{"a":{', False), ('{"a":{}', False), ('{"a":true ', False),
    ],
)  # fmt: skip
def test_where_another_value_may_begin(text: str, takes_value: bool) -> None:
    scanner = BracketScanner()
    assert scanner.feed(text) < 0
    assert scanner.takes_value == takes_value


@pytest.mark.parametrize(
    ("text", "compacted"),
    [
        ('{ "a b" : [ 1 ,\n2 ] }', '{"a b":[1,2]}'),
        ('{"a": "b \\" c"}', '{"a":"b \\" c"}'),
        ('{ "a": "b c ', '{"a":"b c '),
        ('{ "a": "b \\" c ', '{"a":"b \\" c '),
        ("", ""),
    ],
)
def test_white_space_outside_of_strings_is_left_out(text: str, compacted: str) -> None:
    assert compact(text) == compacted


@pytest.mark.parametrize("text", ["", " ", "\n\t", '"', '"{', '"\\\\"'[:-1], "{", "[{}"])
def test_nothing_has_ended_that_has_not_begun_or_is_open(text: str) -> None:
    assert BracketScanner().feed(text) < 0


def test_a_long_text_is_no_trouble() -> None:
    scanner = BracketScanner()
    assert scanner.feed('{"a":"' + '\\"' * 500_000) < 0
    assert scanner.feed('","b":[' + '"x",' * 200_000) < 0
    assert scanner.feed("0]}") == 3
    assert BracketScanner().feed('{"a":' + "[]," * 200_000) < 0
