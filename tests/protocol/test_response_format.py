from __future__ import annotations

import pytest

from asgi_llmgate.protocol.response_format import ResponseStart, document, is_event_stream, json_lines

BOM = b"\xef\xbb\xbf"
STREAM, JSON = b"data: {}\n\n", b'{"id":1}'


@pytest.mark.parametrize(
    ("content_type", "begin", "is_stream"),
    [
        ("text/event-stream", STREAM, True),
        ("text/event-stream", b"", True),
        ("Text/Event-Stream", STREAM, True),
        ("TEXT/EVENT-STREAM; charset=UTF-8", STREAM, True),
        ("text/event-stream;charset=utf-8", b"", True),
        (" text/event-stream ; charset=utf-8", b"", True),
        ("text/event-stream; charset=utf-8", b"<html>", True),
        ("text/event-stream", JSON, False),
        ("text/event-stream", b"[1]", False),
        ("application/json", STREAM, True),
        ("application/x-ndjson", STREAM, True),
        ("text/plain", b": hello\n\n", True),
        ("text/plain", b"event: a\n", True),
        ("text/plain", b"id: a\n", True),
        ("text/plain", b"retry: 1\n", True),
        ("text/plain", b"error: {}\n", True),
        ("", STREAM, True),
        ("application/json", JSON, False),
        ("application/json", b"", False),
        ("Application/JSON; charset=utf-8", JSON, False),
        ("", JSON, False),
        ("", b"", False),
        ("text/html", b"<html>", False),
        ("text/event-streams", b"", False),
        ("application/text/event-stream", b"", False),
        ("application/json; profile=text/event-stream", JSON, False),
    ],
)
def test_a_stream_is_known_by_its_type_and_by_how_it_begins(content_type: str, begin: bytes, is_stream: bool) -> None:
    assert is_event_stream(content_type, begin) is is_stream


@pytest.mark.parametrize(
    ("body", "json"),
    [
        (JSON, JSON),
        (JSON + b"data: [DONE]\n\n", JSON),
        (JSON + b"\n", JSON),
        (b"", b""),
        (b'"data: [DONE]"', b'"data: [DONE]"'),
    ],
)
def test_a_document_may_have_the_end_of_a_stream_behind_it(body: bytes, json: bytes) -> None:
    assert document(body) == json


@pytest.mark.parametrize("cut", [1, 2, 3, 1000])
@pytest.mark.parametrize("rest", [STREAM, JSON, b"<html>", b":" + b"x" * 5000])
@pytest.mark.parametrize(
    "before",
    [b"", BOM, b" \r\n\t", BOM + b"\n", b"\n" + BOM, b": hello\n\n", b":\r", b": a\r\n: b\r\n\r\n", BOM + b": a\n \n"],
)
def test_a_response_begins_with_what_says_something(before: bytes, rest: bytes, cut: int) -> None:
    start, sent, found = ResponseStart(), before + rest, b""
    for at in range(0, len(sent), cut):
        piece = sent[at : at + cut]
        found += piece if found else start.feed(piece)
    assert found == rest


@pytest.mark.parametrize("data", [b"", b"  ", BOM[:1], BOM[:2], BOM, b": no end", b": a\n: b"])
def test_until_then_nothing_is_known(data: bytes) -> None:
    assert ResponseStart().feed(data) == b""


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b'{"a":1}\n{"b":2}', 2),
        (b'{"a":1}\r\n\r\n{"b":2}\r\n{}\n', 3),
        (b'{"a":1}', 0),
        (b'{"a":1}\n', 0),
        (b'{\n"a":1\n}', 0),
        (b'{"a":{}}\n[1]', 0),
        (b'{"a":{}\n}', 0),
        (b"", 0),
        (b"\n", 0),
    ],
)
def test_lines_of_json_are_events(body: bytes, count: int) -> None:
    assert len(json_lines(body)) == count
