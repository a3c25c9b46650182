"""uvicorn's HTTP protocol with limits for request heads, and for clients that do not read.

`llmgate serve` and workers.py use it.

Heads: uvicorn with httptools accepts a path and headers of any size and at any speed, before any app or any token check
runs (h11 has a limit of its own).  Here a head over HEAD_LIMIT is a 431 (RFC 6585 section 5), one that takes longer
than HEAD_SECONDS a 408.

Clients that do not read: when a server closes a connection, the transport first sends what is in its buffer.  A client
that does not read keeps such a connection open, with its file descriptor and its buffer, and makes a server wait that
is to stop.  ASGI has no message to abort a connection, so this protocol aborts it after CLOSE_SECONDS.

HTTP/1.0: uvicorn with httptools sends a response without a length in chunks to any client, and a client of HTTP/1.0
takes their sizes for content (RFC 9112 section 6.1).  Here it gets the bytes, and the end of the connection is the end.
"""

from __future__ import annotations

import asyncio
from typing import Any

from asgi_llmgate.extras import needs_extra

with needs_extra("serve", "serving"):
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

CLOSE_SECONDS = 60.0
"""Seconds after which a connection that is being closed is aborted."""

HEAD_LIMIT = 64 * 1024
"""Bytes of a request's path and headers.  Tokens with many groups have up to 32 KiB.  h11 accepts 16 KiB by default."""

HEADERS_LIMIT = 200
"""Number of headers."""

HEAD_SECONDS = 20.0
"""Seconds from the connection, or the first byte of a further request on it, to the end of the headers."""

PROTOCOL = f"{__name__}:Protocol"
"""The value for uvicorn's option `http`."""


class Closable:
    """A transport that is aborted `seconds` after `close`, if the client has not read everything by then."""

    def __init__(self, transport: Any, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        # uvloop raises RuntimeError for a closed transport, asyncio ignores the data:
        # https://github.com/MagicStack/uvloop/issues/685
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if not self._transport.is_closing() and self._transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(self._seconds, self._transport.abort)
        self._transport.close()


class Unchunked:
    """A transport to which a response is written in chunks, each whole, and which sends what is in them.

    The first write is the head.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._has_head = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._has_head:
            self._has_head = True
            self._transport.write(data)
            return
        size, _, rest = data.partition(b"\r\n")
        if size and (count := int(size, 16)):
            self._transport.write(rest[:count])


class _Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's HTTP protocol on a Closable transport."""

    close_seconds = CLOSE_SECONDS

    def connection_made(self, transport: Any) -> None:
        super().connection_made(Closable(transport, self.close_seconds))


class _LimitedHeadConnection(_Connection):
    """The same with limits for the head, for httptools' parser, which has none."""

    head_limit = HEAD_LIMIT
    headers_limit = HEADERS_LIMIT
    head_seconds = HEAD_SECONDS

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._head = self._headers = self._unread = self._begun = 0
        self._error_response = b""
        self._timer: asyncio.TimerHandle | None = None
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_of_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._begins = False
        self._unread += len(data)
        super().data_received(data)
        # The parser keeps a header, or a trailer, until its end, and calls nothing meanwhile; so the bytes are counted
        # here as well.  Not those of a chunk in which a head begins: it may also contain the end of the request before.
        self._begun = self._begun + len(data) if self._timer is not None and not self._begins else 0
        if max(self._begun, self._unread) > self.head_limit and not self.transport.is_closing():
            self._error_response = _TOO_LARGE
            self.send_400_response("")

    def on_message_begin(self) -> None:
        self._begins = True
        self._head = self._headers = 0
        self._wait_for_head()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._end_of_head()
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before and self.scope["http_version"] == "1.0":
            # So that uvicorn adds no header for it.  The response begins later, in a task.
            self.cycle.chunked_encoding = True
            self.cycle.transport = Unchunked(self.transport)

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._end_of_head()
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()  # a 4xx would be sent in the middle of another response
        elif not self._error_response:
            super().send_400_response(msg)
        elif not self.transport.is_closing():
            self.transport.write(self._error_response)
            self.transport.close()

    def _count(self, size: int) -> None:
        """Raises ValueError when the head is too large; the parser passes it on, and uvicorn sends a 4xx response."""
        self._unread = 0
        self._head += size
        if self._head > self.head_limit or self._headers > self.headers_limit:
            self._error_response = _TOO_LARGE
            raise ValueError("the head is too large")

    def _wait_for_head(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.head_seconds, self._head_timed_out)

    def _end_of_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_timed_out(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            # A response is still being sent; the next request on this connection may be late.
            self._wait_for_head()
        else:
            self._error_response = _TOO_SLOW
            self.send_400_response("")


Protocol = _LimitedHeadConnection if hasattr(AutoHTTPProtocol, "on_url") else _Connection
"""With limits for httptools; h11, which uvicorn uses without httptools, has limits of its own."""


def _plain_response(status: bytes, text: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return head % (status, len(text)) + text


_TOO_LARGE = _plain_response(
    b"431 Request Header Fields Too Large", b"the path and the headers are too long, or too many"
)
_TOO_SLOW = _plain_response(b"408 Request Timeout", b"the headers did not come in time")
