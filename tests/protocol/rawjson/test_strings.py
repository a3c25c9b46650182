from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from asgi_llmgate.protocol.rawjson import strings
from asgi_llmgate.protocol.rawjson.strings import (
    embedded_object,
    escape,
    escape_json,
    is_utf8,
    parse_or_none,
    raw_text,
    repair,
    unescape,
)
from tests.helpers.counted_work import opcodes, peak


@given(st.text(max_size=20))
def test_quoting_and_reading_are_each_others_reverse(text: str) -> None:
    assert unescape(escape(text)) == text


def test_a_nested_value_can_be_read_twice() -> None:
    assert json.loads(json.loads(b'"%b"' % escape_json(b'{"x":"\\"\xc3\xa9"}'))) == {"x": '"é'}


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        (rb"\ud83d\ude00", rb"\ud83d\ude00"),
        (rb"\uD83D\uDE00", rb"\uD83D\uDE00"),
        (rb"\ud83d", rb"\ufffd"),
        (rb"\ude00\ud83d", rb"\ufffd\ufffd"),
        (rb"\ud83d\ud83d\ude00", rb"\ufffd\ud83d\ude00"),
        (rb"\\ud83d", rb"\\ud83d"),
        (rb"\\\ud83d", rb"\\\ufffd"),
        (b"a\xffb", "a\ufffdb".encode()),
        (b"\xf0\x9f", "\ufffd".encode()),
        (b"\\", b"\\"),
    ],
)
def test_halves_of_characters_are_mended_and_nothing_else(broken: bytes, mended: bytes) -> None:
    assert repair(broken) == mended


_pieces = st.sampled_from(
    [r"\ud83d", r"\uDE00", r"\udbff", r"\uDC00", r"\\", r"\"", r"\n", r"\u00e9", "x", "ud83d", "é", r"\\" * 9]
)


@given(st.lists(_pieces, max_size=12).map("".join))
def test_a_text_is_mended_as_its_characters_would_be(raw: str) -> None:
    read = json.loads(f'"{raw}"')
    whole = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in read)
    assert json.loads(b'"%b"' % repair(raw.encode())) == whole


@pytest.mark.parametrize(
    "text",
    [
        rb"\ud800" * 200_000,
        rb"\ud800" * 9_990 + rb"\ud83d\ude00" * 200_000,
        rb"\ud83d\ude00" * 200_000 + rb"\ud800",
        rb"\\ud800" * 200_000,
        rb"\\" * 2_000_000 + rb"\ud800",
        b"\\" * 4_000_001 + b"ud800",
        (b"\\" * 2_001 + b"ud800") * 2_000,
    ],
    ids=["lost", "pairs behind", "pairs in front", "escaped", "behind backslashes", "odd", "runs"],
)
def test_mending_is_bounded_by_what_a_text_that_was_cut_needs(text: bytes) -> None:
    looked = 0

    class Counted(bytes):
        def __getitem__(self, place: slice) -> bytes:  # type: ignore[override]
            nonlocal looked
            looked += place.stop - place.start if place.stop is not None else 0
            return super().__getitem__(place)

    assert repair(text) == text
    assert opcodes(lambda: strings.lone_surrogates(Counted(text))) < 3_000_000
    assert looked < 6_000_000


@pytest.mark.parametrize(
    ("data", "yes"), [(b"a", True), ("é".encode(), True), (b"\xff", False), (b"\xed\xa0\x80", False)]
)
def test_utf8_is_recognised(data: bytes, yes: bool) -> None:
    assert is_utf8(data) is yes


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (rb"{\"x\":1}", b'{"x":1}'),
        (rb" \n{} ", b"{}"),
        (rb"{\"x\":\"\\ud800\"}", rb'{"x":"\ufffd"}'),
        (rb"{\"x\":", None),
        (rb"{}{}", None),
        (rb"[1]", None),
        (rb"", None),
        (rb"{\"x\":" + b"[" * 5000, None),
    ],
    ids=["object", "white space", "half a surrogate", "half", "two", "list", "nothing", "too deep"],
)
def test_an_object_in_a_string_is_found(raw: bytes, found: bytes | None) -> None:
    assert embedded_object(raw) == found


@pytest.mark.parametrize(
    ("value", "raw"),
    [(b'"a\\n"', b"a\\n"), (b"null", b""), (b"", b""), (b'{"x":"y"}', rb"{\"x\":\"y\"}"), (b"1", b"1")],
)
def test_any_value_can_be_written_into_a_string(value: bytes, raw: bytes) -> None:
    assert raw_text(Raw(value)) == raw


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"[1]", [1]), (b"{", None), (b"\xff", None), (b"[" * 100_000, None), (b"9" * 5000, None)],
    ids=["json", "half", "no utf-8", "too deep", "too long a number"],
)
def test_what_is_no_json_is_none(data: bytes, value: object) -> None:
    assert parse_or_none(data) == value


@pytest.mark.parametrize("place", [0, 65_534, 65_535, 65_536, 131_071, 199_997])
@pytest.mark.parametrize(("data", "good"), [(b"\xe2\x82\xac", True), (b"\xe2\x82a", False), (b"\xff\xc3\xa9", False)])
def test_a_long_text_is_checked_wherever_its_characters_stand(data: bytes, good: bool, place: int) -> None:
    text = b"a" * place + data + b"a" * (199_997 - place)
    assert is_utf8(text) is good


def test_half_a_character_at_the_end_of_a_long_text_is_found() -> None:
    assert not is_utf8(b"a" * 200_000 + b"\xe2\x82")


def test_checking_a_long_text_makes_nothing_of_it() -> None:
    text = ("\U0001f600" + "a" * 400_000).encode()
    assert peak(lambda: is_utf8(text)) < len(text)
