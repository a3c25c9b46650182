"""An answer whose head has come and whose body is still to be read."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from asgi_llmgate.errors import Broken, UpstreamError
from asgi_llmgate.net.deadline import Deadline
from asgi_llmgate.net.decoding import decoded

if TYPE_CHECKING:
    import httpx

_CLOSING = 10.0
"""Seconds for a connection that is given up; a request may still be on its way to a server that reads no more."""

_closing: set[asyncio.Task[None]] = set()
"""An event loop keeps tasks by weak references only."""


def _as_it_is(data: bytes, limit: int) -> bytes:
    return data[:limit]


def _inflated(data: bytes, limit: int) -> bytes:
    """gzip or zlib, and deflate without zlib's frame, which some servers mean by the name."""
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        with suppress(zlib.error):
            return zlib.decompressobj(window).decompress(data, limit)
    return b""


_UNDO: Mapping[str, Callable[[bytes, int], bytes]] = {
    **dict.fromkeys(("", "identity"), _as_it_is),
    **dict.fromkeys(("gzip", "x-gzip", "deflate"), _inflated),
}
"""Encodings of a refusal that are undone.  A server that uses any was asked not to."""


class HTTPResponse:
    """`status`, `headers` (found by their lower-case names) and a body that is read once, by `chunks` or by `read`.

    Must be closed, best by `async with`.  Closing it before the end of the body closes the connection, and so stops a
    model that is still generating.
    """

    def __init__(self, response: httpx.Response, deadline: Deadline) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._deadline = deadline
        self._begun = False
        self._whole = False
        source: AsyncIterator[bytes] = aiter(response.stream)  # type: ignore[arg-type]
        encoding = response.headers.get("content-encoding")
        self._source = source if encoding is None else decoded(source, encoding)

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, each piece as the network gives it.  Raises TimedOut and Broken."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._begun:
            self._deadline.restart()
        try:
            with self._deadline:
                chunk = await anext(self._source)
        except StopAsyncIteration:
            self._whole = True
            raise
        except Exception as error:
            from asgi_llmgate.net.errors import READ_ERRORS, in_answer

            if isinstance(error, READ_ERRORS):
                raise in_answer(error) from None
            raise
        self._begun = True
        return chunk

    async def read(self, limit: int) -> bytes:
        """The whole body.  Raises what `chunks` raises, and Broken when there are more than `limit` bytes."""
        body = bytearray()
        async for chunk in self:
            if len(body) + len(chunk) > limit:
                raise Broken("the upstream's answer is too large", detail=f"more than {limit} bytes")
            body += chunk
        return bytes(body)

    async def prefix(self, limit: int, seconds: float = 5.0) -> bytes:
        """The first bytes of a refusal's body: at most `limit`, compression undone, and no more than have come when the
        time is up or the connection breaks.  The status has been said, and counts however the body ends."""
        undo = _UNDO.get(self.headers.get("content-encoding", "").strip().lower())
        if undo is None:
            return b""
        # Not httpx's decoders: they undo a whole piece at once, and a few bytes may become a gigabyte.
        self._source = aiter(self._response.stream)  # type: ignore[arg-type]
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
        """Give the connection back, or close it where the body has not been read to its end.

        Who is cancelled in the middle of this does not wait, and the connection is closed nevertheless.
        """
        self._deadline.close()
        if self._whole:
            await self._response.aclose()
            return
        closing = asyncio.get_running_loop().create_task(_close(self._response))
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)
        await asyncio.shield(closing)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def _close(response: httpx.Response) -> None:
    from asgi_llmgate.net.errors import ERRORS

    with suppress(TimeoutError, *ERRORS):  # the connection is given up; how that fails does not matter
        async with asyncio.timeout(_CLOSING):
            await response.aclose()
