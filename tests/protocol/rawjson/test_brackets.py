from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llmgate.protocol.rawjson.brackets import BracketScanner

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
    assert not any(scanner.feed(piece) for piece in cut(text[:-1], places))
    assert scanner.feed(text[-1:])


@given(st.text(alphabet='{}[]"\\\\ a', max_size=30), st.sets(st.integers(0, 10**6), max_size=8))
def test_where_a_text_is_cut_changes_nothing(text: str, places: set[int]) -> None:
    scanner = BracketScanner()
    assert [scanner.feed(piece) for piece in cut(text, places)][-1] == BracketScanner().feed(text)


@pytest.mark.parametrize("text", ["", " ", "\n\t", '"', '"{', '"\\\\"'[:-1], "{", "[{}"])
def test_nothing_has_ended_that_has_not_begun_or_is_open(text: str) -> None:
    assert not BracketScanner().feed(text)


def test_a_long_text_is_no_trouble() -> None:
    scanner = BracketScanner()
    assert not scanner.feed('{"a":"' + '\\"' * 500_000)
    assert not scanner.feed('","b":[' + '"x",' * 200_000)
    assert scanner.feed("0]}")
