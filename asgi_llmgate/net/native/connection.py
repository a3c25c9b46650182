"""One connection to a server or a proxy, for one request at a time.

state     event                                    then
--------  ---------------------------------------  ----------------------------------------------------------------
NEW       start                                    BUSY
          a byte, or the end of the connection     NEW; the first request gets it: servers refuse connections so
IDLE      start                                    BUSY
          any byte, or the end of the connection   CLOSED: a byte now cannot be a response
BUSY      a byte of the response                   BUSY; more than 64 KiB unread: the server has to wait
          the end of the connection                CLOSED; what has arrived can still be read
          finish, after the whole response         IDLE
          finish before, abort                     CLOSED
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress

from asgi_llmgate.concurrency.chunks import resolve
from asgi_llmgate.errors import UpstreamError
from asgi_llmgate.net.failures import no_response
from asgi_llmgate.net.native.parser import ResponseParser

MAX_UNREAD = 64 * 1024
"""Bytes of a body that wait to be read, before reading from the network is paused."""

_PIECE = 256 * 1024
"""Bytes of a request that are given to asyncio at a time: before Python 3.12 it copies what it cannot send at once."""

_LAST = 256 * 1024
"""Bytes that are read after a write has failed."""


class Connection(asyncio.Protocol):
    """`on_lost` is called, while there is no request, when the connection ends.

    uses        how many requests it has served
    idle_since  the event loop's time when the last of them ended
    """

    __slots__ = ("_early", "_end", "_is_paused", "_is_uploaded", "_is_writable", "_loop", "_parser", "_pieces",
                 "_transport", "_unread", "_waiter", "idle_since", "on_lost", "uses")  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser: ResponseParser | None = None
        self._pieces: list[bytes] = []
        self._unread = 0
        self._waiter: asyncio.Future[None] | None = None
        self._is_paused = False
        self._is_writable = True
        self._is_uploaded = True
        self._early = b""
        self._end: str | None = None
        self.uses = 0
        self.idle_since = 0.0
        self.on_lost: Callable[[Connection], None] | None = None

    @property
    def is_open(self) -> bool:
        return self._end is None and self._transport is not None and not self._transport.is_closing()

    # A request and its response.

    def start(self, parser: ResponseParser, head: bytes, body: bytes) -> memoryview | None:
        """Begin a request.  What is returned is for `upload`: the part of a large body that has not been written."""
        self._parser = parser
        self.uses += 1
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)
        if self._end is not None:
            parser.end(self._end)
            return None
        assert self._transport is not None
        if len(body) <= MAX_UNREAD:
            self._transport.write(head + body if body else head)
            return None
        self._transport.write(head)
        self._is_uploaded = False
        return memoryview(body)

    async def upload(self, rest: memoryview) -> None:
        """Write it as the server takes it, until there is a response: servers refuse a body before its end (413)."""
        assert self._parser is not None
        assert self._transport is not None
        for begin in range(0, len(rest), _PIECE):
            while not self._is_writable and self._is_waiting(self._parser):
                await self.more()
            if not self._is_waiting(self._parser):
                return
            self._transport.write(rest[begin : begin + _PIECE])
        self._is_uploaded = True

    async def wait_for_head(self) -> None:
        """Return when the head of the response has arrived.  Raises MaybeSent and Broken."""
        parser = self._parser
        assert parser is not None
        while self._is_waiting(parser):
            await self.more()
        if not parser.has_head:
            raise self._failure(parser)

    def take(self) -> bytes | None:
        """What has arrived of the body, as `Chunks.take`.  Raises Broken."""
        pieces = self._pieces
        if not pieces:
            parser = self._parser
            if parser is None or parser.is_complete:
                return None
            if parser.failure is not None:
                raise parser.failure()
            return b""
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._unread = 0
        if self._is_paused:
            self._is_paused = False
            if self._transport is not None and self._end is None:
                self._transport.resume_reading()
        return body

    def more(self) -> asyncio.Future[None]:
        """Resolved when there is something new: of the response, of its end, or room for more of the request."""
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def finish(self) -> bool:
        """End the request.  Whether the connection can take another; otherwise it is closed."""
        parser, self._parser = self._parser, None
        self._pieces, self._unread = [], 0
        is_reusable = (
            parser is not None
            and parser.is_complete
            and parser.keep_alive
            and self._is_uploaded
            and not self._is_paused
            and self.is_open
            and self._transport is not None
            and self._transport.get_write_buffer_size() == 0
        )
        if parser is not None:
            parser.release()
        if is_reusable:
            self.idle_since = self._loop.time()
        else:
            self.abort()
        return is_reusable

    def abort(self) -> None:
        """Close the connection at once: what is not sent yet is not sent."""
        if self._end is not None:
            return
        self._ended("closed")
        if self._transport is not None:
            with suppress(RuntimeError):  # the event loop is closed
                self._transport.abort()

    def detach(self) -> asyncio.Transport:
        """The transport, which gets another protocol: after CONNECT, TLS."""
        assert self._transport is not None
        assert self._parser is not None
        self._parser.release()
        transport, self._transport, self._parser = self._transport, None, None
        return transport

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            if self.uses == 0 and len(self._early) < MAX_UNREAD:
                self._early += data
            else:
                # Servers send a 408 before they close an idle connection (RFC 9110 section 15.5.9).
                self.abort()
            return
        piece = parser.feed(data)
        if piece:
            self._pieces.append(piece)
            self._unread += len(piece)
            if self._unread > MAX_UNREAD and not self._is_paused and self._transport is not None:
                self._is_paused = True
                self._transport.pause_reading()
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def eof_received(self) -> None:
        self._ended("EOF")
        if self._transport is not None:
            self._transport.abort()  # asyncio would first send the rest of the request

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None and self._end is None:
            self._read_rest()
        self._ended("EOF" if error is None else type(error).__name__)
        self._transport = None

    def pause_writing(self) -> None:
        self._is_writable = False

    def resume_writing(self) -> None:
        self._is_writable = True
        resolve(self._waiter)

    # Parts.

    def _is_waiting(self, parser: ResponseParser) -> bool:
        return not parser.has_head and parser.failure is None

    def _failure(self, parser: ResponseParser) -> UpstreamError:
        assert parser.failure is not None
        error = parser.failure()
        if self.uses > 1 and not parser.has_begun:
            return no_response(error.detail, reused=True)
        return error

    def _read_rest(self) -> None:
        """Read what the server sent before it closed.  A write fails at once then, but a 413 may be there already."""
        if self._parser is None or self._transport is None or self._transport.get_extra_info("ssl_object") is not None:
            return
        sock = self._transport.get_extra_info("socket")
        with suppress(OSError, ValueError):
            fd, left = sock.fileno(), _LAST
            while left > 0 and (data := os.read(fd, _LAST)):
                self._is_paused = True  # there is nobody to pause
                self.data_received(data)
                left -= len(data)

    def _ended(self, reason: str) -> None:
        if self._end is not None:
            return
        self._end = reason
        if self._parser is not None:
            self._parser.end(reason)
        elif self.on_lost is not None:
            self.on_lost(self)
        resolve(self._waiter)
