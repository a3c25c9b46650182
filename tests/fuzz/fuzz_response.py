"""Whatever bytes a server sends, and however the network divides them: the parser of net/native reads the same, ends
with the connection, and raises nothing."""

from __future__ import annotations

from typing import Any

from asgi_llmgate.errors import Broken, MaybeSent
from asgi_llmgate.net.native.parser import ResponseParser

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
SEEDS = [
    HEAD + b"content-length: 5\r\nx-a: b\r\n\r\nhello",
    CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"2;a=b\r\nok\r\n3 \r\nabc\r\n0\r\nx: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil it closes",
    b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
    HEAD + b"connection: close\r\ntransfer-encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    HEAD + b"set-cookie: a\r\nSet-Cookie: b\r\nx: a\r\n b\r\ntransfer-encoding: identity\r\n\r\nbody",
    b"\r\n\r\n",
    b"220 mail.test ESMTP\r\n",
]
AT_ONCE = 3
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b";", b"0\r\n\r\n", b"HTTP/1.1 ", b"chunked", b"content-length: 1\r\n",
    b"transfer-encoding: chunked\r\n", b"connection: close\r\n", b"upgrade: h2c\r\n", b"ffffffffffffffff", b"-1",
]  # fmt: skip


def target(data: bytes) -> None:
    """The first byte says whether the request was HEAD, the second how long the pieces are."""
    if len(data) < 2:
        return
    is_head, size, stream = data[0] % 8 == 7, data[1] % 32 or len(data), data[2:]
    found = read(stream, size, is_head=is_head)
    assert found == read(stream, len(stream) or 1, is_head=is_head)
    assert found == read(stream, 1, is_head=is_head)


def read(stream: bytes, size: int, *, is_head: bool = False) -> dict[str, Any]:
    """What a parser says of a stream that comes in pieces of a size, and then ends."""
    parser = ResponseParser(is_head=is_head)
    body = b"".join(parser.feed(stream[place : place + size]) for place in range(0, len(stream), size))
    can_go_on = parser.is_complete and parser.keep_alive
    parser.end("EOF")
    parser.release()
    assert parser.is_complete != (parser.failure is not None)
    found: dict[str, Any] = {"body": body, "can take another": can_go_on, "error": ""}
    if parser.has_head:
        found |= {"status": parser.status, "headers": parser.headers}
    if parser.failure is not None:
        error = parser.failure()
        assert isinstance(error, Broken if parser.has_head else (Broken, MaybeSent))
        found["error"] = error.message
    return found
