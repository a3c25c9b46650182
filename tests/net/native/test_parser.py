"""Responses as a table, each divided in all the ways that the network may divide it."""

from __future__ import annotations

import gc
import weakref

import pytest

from asgi_llmgate.net.native.parser import MAX_HEAD, MAX_HEADER, MAX_HEADERS, ResponseParser
from tests.fuzz.fuzz_response import read

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
NOT_HTTP = "the server's response is not HTTP"
TOO_LARGE = "the server's response has a head that is too large"
CUT_OFF = "the server's response was cut off"
NONE = "the server closed the connection without a response"

WHOLE = [
    pytest.param(OK + b"content-length: 2\r\n\r\nok", 200, b"ok", True, id="content-length"),
    pytest.param(CHUNKED + b"2\r\nok\r\n0\r\n\r\n", 200, b"ok", True, id="chunked"),
    pytest.param(CHUNKED + b"1;a=b\r\no\r\n01\r\nk\r\n0\r\nx: y\r\n\r\n", 200, b"ok", True, id="extension, trailer"),
    pytest.param(CHUNKED + b"2  \r\nok\r\n0\r\n\r\n", 200, b"ok", True, id="spaces after a chunk's size"),
    pytest.param(OK + b"transfer-encoding: gzip, CHUNKED\r\n\r\n0\r\n\r\n", 200, b"", True, id="two codings"),
    pytest.param(OK + b"\r\nok", 200, b"ok", False, id="until the connection ends"),
    pytest.param(OK + b"transfer-encoding: identity\r\n\r\nok", 200, b"ok", False, id="not chunked"),
    pytest.param(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, b"ok", False, id="1.0"),
    pytest.param(OK + b"connection: close\r\ncontent-length: 0\r\n\r\n", 200, b"", False, id="connection: close"),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True, id="204"),
    pytest.param(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304, b"", True, id="304"),
    pytest.param(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" + OK + b"content-length: 0\r\n\r\n",
        200,
        b"",
        True,
        id="informational",
    ),
    pytest.param(OK + b"content-length: 2\r\n\r\nokmore", 200, b"ok", False, id="more than there should be"),
    pytest.param(OK + b"content-length: 0\r\n\r\n" + OK + b"\r\nevil", 200, b"", False, id="a second response"),
]

FAILED = [
    pytest.param(b"", NONE, id="nothing"),
    pytest.param(OK, NONE, id="a part of the head"),
    pytest.param(OK + b"content-length: 3\r\n\r\nok", CUT_OFF, id="a part of the body"),
    pytest.param(CHUNKED + b"2\r\nok\r\n", CUT_OFF, id="no last chunk"),
    pytest.param(b"220 mail.test ESMTP\r\n\r\n", NOT_HTTP, id="another protocol"),
    pytest.param(b"\x15\x03\x01\0\x02\x02\x46", NOT_HTTP, id="a TLS alert"),
    pytest.param(b"HTTP/1.1 99 Low\r\n\r\n", NOT_HTTP, id="status"),
    pytest.param(b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", NOT_HTTP, id="101"),
    pytest.param(b"HTTP/1.1 101 X\r\n\r\n" + OK, NOT_HTTP, id="101 of nothing"),
    pytest.param(OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n", NOT_HTTP, id="two framings"),
    pytest.param(OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\n", NOT_HTTP, id="two lengths"),
    pytest.param(OK + b"content-length: -1\r\n\r\n", NOT_HTTP, id="negative length"),
    pytest.param(OK + b"a b: c\r\n\r\n", NOT_HTTP, id="header name"),
    pytest.param(OK + b"a: b\0c\r\n\r\n", NOT_HTTP, id="NUL"),
    pytest.param(OK + b"a: b\rc\r\n\r\n", NOT_HTTP, id="carriage return"),
    pytest.param(CHUNKED + b"-2\r\nok\r\n", NOT_HTTP, id="negative chunk"),
    pytest.param(CHUNKED + b"fffffffffffffffff\r\nok", NOT_HTTP, id="chunk of 2**68"),
    pytest.param(CHUNKED + b"2\r\nokXX", NOT_HTTP, id="chunk without its end"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(("stream", "status", "body", "reusable"), WHOLE)
def test_a_response_is_read_however_it_is_divided(
    stream: bytes, status: int, body: bytes, reusable: bool, size: int
) -> None:
    found = read(stream, size)
    assert (found["status"], found["body"], found["error"]) == (status, body, "")
    assert found["can take another"] is reusable


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(("stream", "message"), FAILED)
def test_what_is_no_response_is_an_error_however_it_is_divided(stream: bytes, message: str, size: int) -> None:
    assert read(stream, size)["error"] == message


def test_a_response_to_head_ends_with_its_head() -> None:
    found = read(OK + b"content-length: 9\r\n\r\n", 1000, is_head=True)
    assert (found["status"], found["body"], found["error"]) == (200, b"", "")
    assert not found["can take another"]  # nobody knows whether its server means it


def test_the_body_before_an_error_is_read() -> None:
    found = read(CHUNKED + b"2\r\nok\r\nzz\r\n", 1000)
    assert (found["body"], found["error"]) == (b"ok", NOT_HTTP)


def test_headers_have_lower_case_names_and_a_repeated_one_is_a_list() -> None:
    found = read(OK + b"X-A: 1\r\nSet-Cookie: a\r\nset-cookie: b\r\nfolded: c\r\n d\r\nx: \xe4\r\n\r\n", 1000)
    assert found["headers"] == {"x-a": "1", "set-cookie": "a, b", "folded": "c d", "x": "ä"}


def test_headers_of_an_informational_response_are_not_those_of_the_response() -> None:
    assert read(b"HTTP/1.1 103 E\r\nlink: x\r\n\r\n" + OK + b"\r\n", 1000)["headers"] == {}


@pytest.mark.parametrize("size", [1000, 250_000])
@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(OK + b"x: " + b"y" * MAX_HEADER + b"\r\n\r\n", id="a header"),
        pytest.param(OK + b"x" * MAX_HEADER + b": y\r\n\r\n", id="a name"),
        pytest.param(OK + b"x: y\r\n" * (MAX_HEADERS + 1) + b"\r\n", id="headers"),
        pytest.param(b"HTTP/1.1 102 Processing\r\n\r\n" * (MAX_HEAD // 20), id="informational responses"),
        pytest.param(OK + b"x" * (MAX_HEAD + 1), id="a header without its end"),
        pytest.param(CHUNKED + b"2\r\nok\r\n0\r\n" + b"x" * (2 * MAX_HEAD), id="a trailer"),
        pytest.param(CHUNKED + b"2;" + b"x" * (MAX_HEAD + 1), id="an extension"),
    ],
)
def test_what_is_kept_is_limited(stream: bytes, size: int) -> None:
    assert read(stream, size)["error"] == TOO_LARGE


@pytest.mark.parametrize("size", [1000, 10**7])
def test_the_largest_head_is_read(size: int) -> None:
    lines = [b"x%d: " % number + b"y" * 400 for number in range(MAX_HEADERS - 1)]
    lines.append(b"z: " + b"y" * (MAX_HEADER - 1))
    assert len(b"".join(lines)) > MAX_HEAD
    lines[:300] = [line[:10] for line in lines[:300]]
    stream = OK + b"\r\n".join(lines) + b"\r\n\r\n"
    assert len(read(stream, size)["headers"]) == MAX_HEADERS


def test_a_body_may_be_larger_than_a_head() -> None:
    assert len(read(OK + b"\r\n" + bytes(4 * MAX_HEAD), 70_000)["body"]) == 4 * MAX_HEAD


def test_a_parser_that_is_released_is_freed_at_once() -> None:
    gc.disable()
    try:
        parser = type("Tracked", (ResponseParser,), {})()  # has a place for weak references
        parser.feed(OK)
        parser.release()
        gone = weakref.ref(parser)
        del parser
        assert gone() is None
    finally:
        gc.enable()
