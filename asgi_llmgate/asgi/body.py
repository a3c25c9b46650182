"""The body of a request: read once, bounded, and played again for whoever comes after.

Two layers need it, the one that decides by what is asked and the app that answers, and the server gives it once.  The
bound holds for the bytes that arrive and for those they decode to, so a small bomb is as large as it unpacks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from asgi_llmgate._types import Message, Receive
from asgi_llmgate.asgi.encodings import decoder_for
from asgi_llmgate.errors import BodyTooLarge, ClientGone

LIMIT = 32 * 2**20
"""Bytes.  Anthropic's own limit for a Messages request: https://platform.claude.com/docs/en/api/errors."""

DRAIN_SECONDS = 5.0

_END: Message = {"type": "http.request", "body": b"", "more_body": False}


class Body:
    """`receive` is the server's (or an outer layer's); `headers` have lower-case names; `limit` is in bytes.

    Hand `body.receive` on to the next app and `body.rest` to `refuse`: once the body is read, the server's own receive
    waits for the disconnect.
    """

    def __init__(self, receive: Receive, *, limit: int = LIMIT, headers: Mapping[str, str]) -> None:
        self._receive = receive
        self._limit = limit
        self._headers = headers
        self._raw: bytes | None = None
        self._decoded: bytes | None = None
        self._played = False
        self._ended = False

    async def read(self) -> bytes:
        """The whole body, with its content-encoding undone (RFC 9110 section 8.4).

        Raises BodyTooLarge, InvalidRequest for an encoding that is unknown or broken, and ClientGone when the client
        leaves before the end.
        """
        if self._decoded is None:
            decode = decoder_for(self._headers.get("content-encoding", ""))
            raw = self._raw = await self._read()
            self._ended = True
            self._decoded = decode(raw, self._limit) if decode else raw
            if len(self._decoded) > self._limit:
                raise _too_large(self._limit)
        return self._decoded

    async def receive(self) -> Message:
        """The next app's `receive`: the body as it came, once and in one piece, then what the server has to say."""
        if self._raw is not None and not self._played:
            self._played = True
            return {"type": "http.request", "body": self._raw, "more_body": False}
        message = await self._receive()
        self._ended = self._ended or not message.get("more_body", False)
        return message

    async def rest(self) -> Message:
        """`receive` for who wants to be rid of the body, however much of it has been read: it never waits for more than
        there is."""
        return _END if self._ended else await self.receive()

    def drop(self) -> None:
        """Let the memory go; whoever still asks for the body gets an empty one."""
        if self._raw is not None:
            self._raw = self._decoded = b""

    async def drain(self, limit: int = LIMIT, seconds: float = DRAIN_SECONDS) -> bool:
        """`drain` of what has not been read yet."""
        return await drain(self.rest, limit, seconds)

    async def _read(self) -> bytes:
        length = self._headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._limit:
            raise _too_large(self._limit)
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._limit:
                raise _too_large(self._limit)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def drain(receive: Receive, limit: int = LIMIT, seconds: float = DRAIN_SECONDS) -> bool:
    """Read the rest of a body and throw it away; False when `limit` bytes or `seconds` were not enough.

    A client that is still writing when the refusal arrives may see a broken pipe and never read the reason: so does
    Node's fetch, on most servers, from a few megabytes on.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while limit >= 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return True
                limit -= len(message.get("body", b""))
    return False


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the request body is larger than {limit} bytes")
