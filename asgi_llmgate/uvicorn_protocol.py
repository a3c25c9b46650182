"""What the gateway's own ways of being served add to uvicorn: bounds for heads, and for clients that do not read.

A request's path and headers come before any app knows of it, so nobody's token is asked for, and uvicorn with httptools
takes them of any size and at any pace (h11 has a limit).  Over HEAD_LIMIT they are answered with 431 (RFC 6585
section 5), after HEAD_SECONDS with 408.

An app can give up on a client that has stopped reading, and its server then closes the connection.  But a connection
that is closed first sends what it has taken, to a client that does not read, and so stays open as long as that one
likes: with its descriptor and its buffer, and with a server that waits for it when it is to stop.  ASGI has no message
to cut it, so the server's protocol does.
"""

from __future__ import annotations

import asyncio
from typing import Any

try:
    from uvicorn.protocols.http.auto import AutoHTTPProtocol
except ImportError:
    raise ImportError("serving needs uvicorn: pip install 'asgi-llmgate[serve]'") from None

GIVE_UP = 60.0
"""Seconds that a connection which is to be closed may take to send what is left."""

HEAD_LIMIT = 64 * 1024
"""Bytes of a request's path and headers: tokens with many groups have up to 32 KiB.  h11 takes 16 KiB by default."""

HEADERS_LIMIT = 200

HEAD_SECONDS = 20.0
"""From the connection, or the first byte of a further request on it, to the end of the headers."""

PROTOCOL = f"{__name__}:Protocol"
"""For uvicorn's `http` option."""


class Closable:
    """A transport whose `close` becomes an `abort` after `seconds`, if by then not everything was read."""

    def __init__(self, transport: Any, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Without the RuntimeError that uvloop raises for a closed transport, where asyncio says nothing
        (https://github.com/MagicStack/uvloop/issues/685)."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if not self._transport.is_closing() and self._transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(self._seconds, self._transport.abort)
        self._transport.close()


class _Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's HTTP protocol on a transport that is cut in the end."""

    give_up = GIVE_UP

    def connection_made(self, transport: Any) -> None:
        super().connection_made(Closable(transport, self.give_up))


class _BoundedHead(_Connection):
    """uvicorn's protocol with httptools' parser, which takes a head of any size, for as long as it may last."""

    head_limit = HEAD_LIMIT
    headers_limit = HEADERS_LIMIT
    head_seconds = HEAD_SECONDS

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._head = self._headers = self._unread = self._begun = 0
        self._refusal = b""
        self._timer: asyncio.TimerHandle | None = None
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_of_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._begins = False
        self._unread += len(data)
        super().data_received(data)
        # The parser keeps a header, or a trailer, until it has ended, and tells nobody.  In the piece in which a head
        # begins stands what came before it, too, such as other requests.
        self._begun = self._begun + len(data) if self._timer is not None and not self._begins else 0
        if max(self._begun, self._unread) > self.head_limit and not self.transport.is_closing():
            self._refusal = _TOO_LARGE
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
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._end_of_head()
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()  # it would stand in the middle of another answer
        elif not self._refusal:
            super().send_400_response(msg)
        elif not self.transport.is_closing():
            self.transport.write(self._refusal)
            self.transport.close()

    def _count(self, size: int) -> None:
        """Raises ValueError, which the parser hands on to `data_received`, and that to `send_400_response`."""
        self._unread = 0
        self._head += size
        if self._head > self.head_limit or self._headers > self.headers_limit:
            self._refusal = _TOO_LARGE
            raise ValueError("the head is too large")

    def _wait_for_head(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.head_seconds, self._give_head_up)

    def _end_of_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_head_up(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:  # the head of the next request can wait
            self._wait_for_head()
        else:
            self._refusal = _TOO_SLOW
            self.send_400_response("")


Protocol = _BoundedHead if hasattr(AutoHTTPProtocol, "on_url") else _Connection
"""httptools' parser; h11's, which has a limit of its own, where there is none."""


def _refusal(status: bytes, text: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return head % (status, len(text)) + text


_TOO_LARGE = _refusal(b"431 Request Header Fields Too Large", b"the path and the headers are too long, or too many")
_TOO_SLOW = _refusal(b"408 Request Timeout", b"the headers did not come in time")
