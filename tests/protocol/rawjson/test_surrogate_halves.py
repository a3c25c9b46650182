from __future__ import annotations

import json

import pytest

from asgi_llmgate.protocol.rawjson.surrogate_halves import SurrogateJoiner, mark_halves

BAD = "\ufffd".encode()
HIGH, LOW = "\ufdd0\u183d".encode(), "\ufdd0\u1e00".encode()


@pytest.mark.parametrize(
    ("data", "marked", "is_marked"),
    [
        (rb'{"a":"b\ud83d"}', b'{"a":"b%b"}' % HIGH, True),
        (rb'{"a":"\ude00b"}', b'{"a":"%bb"}' % LOW, True),
        (rb'{"a":"\ude00\ud83d"}', b'{"a":"%b%b"}' % (LOW, HIGH), True),
        (rb'{"a":"\ud83db"}', b'{"a":"%bb"}' % BAD, False),
        (rb'{"a":"b\ude00"}', b'{"a":"b%b"}' % BAD, False),
        (rb'{"a":"\"\ude00"}', rb'{"a":"\"%b"}' % BAD, False),
        (rb'{"a":"\ud83d\""}', rb'{"a":"%b\""}' % BAD, False),
        (rb'{"a":"\ud83d\ude00"}', rb'{"a":"\ud83d\ude00"}', False),
        (rb'{"a":"\\ud83d"}', rb'{"a":"\\ud83d"}', False),
        (b'{"a":"\xff\\ud83d"}', b'{"a":"%b%b"}' % (BAD, HIGH), True),
    ],
)
def test_halves_at_the_edges_are_marked(data: bytes, marked: bytes, is_marked: bool) -> None:
    assert mark_halves(data) == (marked, is_marked)
    json.loads(marked)


@pytest.mark.parametrize(
    ("pieces", "text", "rest"),
    [
        ([b"a" + HIGH, LOW + b"b"], "a😀b", b""),
        ([HIGH, b"", LOW], "😀", b""),
        ([HIGH, LOW + HIGH, LOW], "😀😀", b""),
        ([HIGH, b"b"], "\ufffdb", b""),
        ([HIGH, HIGH, LOW], "\ufffd😀", b""),
        ([LOW, b"a"], "\ufffda", b""),
        ([b"a" + HIGH], "a", BAD),
        ([b"a" + LOW + b"b"], "a\ufffdb", b""),
        ([HIGH, b"a" + LOW], "\ufffda\ufffd", b""),
        ([b"\xef\xb7\x90"], "\ufdd0", b""),
    ],
)
def test_halves_are_joined(pieces: list[bytes], text: str, rest: bytes) -> None:
    joiner = SurrogateJoiner()
    assert b"".join([joiner.join("text", piece) for piece in pieces]).decode() == text
    assert joiner.rest("text") == rest
    assert joiner.rest("text") == b""


def test_each_place_has_halves_of_its_own() -> None:
    joiner = SurrogateJoiner()
    assert [joiner.join(place, HIGH) for place in (0, 1)] == [b"", b""]
    assert [joiner.join(place, LOW + b"x").decode() for place in (1, 0, 0)] == ["😀x", "😀x", "\ufffdx"]
