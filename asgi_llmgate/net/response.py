"""A response whose head has arrived, and whose body has not been read yet."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from asgi_llmgate.concurrency.chunks import Chunks, ReadByTask, iterate
from asgi_llmgate.errors import Broken, UpstreamError
from asgi_llmgate.net.deadline import Deadline
from asgi_llmgate.net.decoding import decode_body
from asgi_llmgate.net.transport import Response


def _truncate(data: bytes, limit: int) -> bytes:
    return data[:limit]


def _decompress_prefix(data: bytes, limit: int) -> bytes:
    # gzip or zlib; then deflate without zlib's header, which some servers send under that name.
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        with suppress(zlib.error):
            return zlib.decompressobj(window).decompress(data, limit)
    return b""


_PREFIX_DECODERS: Mapping[str, Callable[[bytes, int], bytes]] = {
    **dict.fromkeys(("", "identity"), _truncate),
    **dict.fromkeys(("gzip", "x-gzip", "deflate"), _decompress_prefix),
}
"""Content encoding -> what decompresses the start of an error response's body."""


class HTTPResponse:
    """`status`, `headers` (a mapping with lower-case names) and a body, which is read once: by `chunks` or by `read`.

    It must be closed, best by `async with`.  Closing it before the end of the body closes the connection, which stops
    a model that is still generating.
    """

    def __init__(self, response: Response, deadline: Deadline) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._deadline = deadline
        self._is_closed = False
        self._unread = b""
        self._body: Chunks = response.body
        self._decoded: ReadByTask | None = None
        encoding = response.headers.get("content-encoding")
        if encoding is not None and (decoded := decode_body(iterate(response.body), encoding)) is not None:
            self._body = self._decoded = ReadByTask(decoded)

    def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of the body as they arrive.  Raises TimedOut and Broken."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    def unread(self, chunk: bytes) -> None:
        """Give the first chunk back: it comes again when the body is read."""
        self._unread = chunk

    async def __anext__(self) -> bytes:
        while not (chunk := self.take()):
            if chunk is None:
                raise StopAsyncIteration
            await self.more()
        return chunk

    def take(self) -> bytes | None:
        """What has arrived since the last time; empty while nothing has, None at the end.  Raises TimedOut, also for a
        wait for `more` that took too long, and Broken."""
        if self._unread:
            chunk, self._unread = self._unread, b""
            return chunk
        if self._is_closed:
            return None
        taken = self._body.take()
        if not taken:
            if taken is not None and self._deadline.is_up:
                raise self._deadline.error()
        else:
            self._deadline.note_bytes()
        return taken

    def more(self) -> asyncio.Future[None]:
        """Resolved when `take` may have something: bytes, the end, an error, or that nothing came for too long."""
        waiter = self._body.more()
        self._deadline.watch(waiter)
        return waiter

    async def read(self, limit: int) -> bytes:
        """The whole body.  Raises what `chunks` raises, and Broken when there are more than `limit` bytes."""
        body = bytearray()
        async for chunk in self:
            if len(body) + len(chunk) > limit:
                told = "the response of the model server is too large; tell the operator of the gateway"
                raise Broken(
                    "the server's response is too large", client_message=told, detail=f"more than {limit} bytes"
                )
            body += chunk
        return bytes(body)

    async def prefix(self, limit: int, seconds: float = 5.0) -> bytes:
        """The start of the body of an error response, decompressed: at most `limit` bytes.

        It waits at most `seconds` and returns what has arrived by then, also when the connection breaks: the status is
        known already and matters more.
        """
        undo = _PREFIX_DECODERS.get(self.headers.get("content-encoding", "").strip().lower())
        if undo is None:
            return b""
        # The bytes as they arrive, and not decoded ones: here at most `limit` bytes are decompressed.
        self._body = self._response.body
        chunks: list[bytes] = []
        size = 0
        with suppress(TimeoutError, UpstreamError):
            async with asyncio.timeout(seconds):
                async for chunk in self:
                    chunks.append(chunk)
                    size += len(chunk)
                    if size >= limit:
                        break
        return undo(b"".join(chunks), limit)

    async def aclose(self) -> None:
        """Give the connection back to the pool, or close it if the body has not been read to its end.

        If the caller is cancelled meanwhile, the connection is closed all the same.
        """
        self._is_closed = True
        self._deadline.close()
        try:
            if self._decoded is not None:
                await self._decoded.aclose()
        finally:
            await self._response.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
