"""The body of a request: read once, with limits, and replayed to the next app.

Two layers need it, the one that decides by its content and the app that responds, and the server sends it once. The
limits hold for the bytes that arrive and for those that they decode to, so a decompression bomb counts as large as it
unpacks. Limits in time, and of all bodies together, are in upload_limits.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from asgi_llmgate._types import Message, Receive
from asgi_llmgate.asgi.encodings import PIECE, Decode, decoder_for
from asgi_llmgate.asgi.upload_limits import Uploads
from asgi_llmgate.errors import BodyTooLarge, ClientGone

LIMIT = 32 * 2**20
"""Bytes. Anthropic's own limit for a Messages request: https://platform.claude.com/docs/en/api/errors."""

RATIO = 100
"""Maximum size of a body divided by the size of its encoded form. Conversations with source code and logs have 4 to 25,
one that reads the same file again and again 80 (gzip, br, zstd), a decompression bomb 1,000."""

UNPACKED = 2**20
"""Bytes that any body may decode to: a single table of zeros exceeds RATIO."""

_SMALL = 2**12
"""Bytes; smaller pieces are joined as they come."""

DRAIN_SECONDS = 5.0
DRAIN_SILENCE = 1.0
"""Seconds: of draining a body, and without a further piece of it."""

_END: Message = {"type": "http.request", "body": b"", "more_body": False}


class Body:
    """The body of one request.

    `receive` is that of the server or an outer layer. `headers` have lower-case names. `limit` is in bytes. `uploads`
    has the limits in time and memory. Pass `body.receive` to the next app and `body.rest` to `refuse`: after the body,
    the server's own `receive` waits for the disconnect. `close` it at the end, or its memory stays counted.
    """

    def __init__(
        self, receive: Receive, *, limit: int = LIMIT, headers: Mapping[str, str], uploads: Uploads | None = None
    ) -> None:
        self._receive = receive
        self._limit = limit
        self._headers = headers
        self._upload = (uploads or Uploads()).upload()
        self._raw: bytes | None = None
        self._decoded: bytes | None = None
        self._played = False
        self._ended = False

    async def read(self) -> bytes:
        """The whole body, with its content-encoding undone (RFC 9110 section 8.4).

        Raises BodyTooLarge, BodyTooSlow, TooManyBodies, InvalidRequest for an encoding that is unknown or broken, and
        ClientGone if the client disconnects before the end. The memory is then released.
        """
        if self._decoded is None:
            encoding = self._headers.get("content-encoding", "")
            decode = decoder_for(encoding) if encoding else None
            try:
                raw = self._raw = await self._read()
                self._decoded = raw if decode is None else await self._decode(decode, raw)
            except BaseException:
                self.close()
                raise
        return self._decoded

    async def receive(self) -> Message:
        """`receive` for the next app: the body as it came, once and in one piece, then the server's messages."""
        if self._raw is not None and not self._played:
            self._played = True
            return {"type": "http.request", "body": self._raw, "more_body": False}
        message = await self._receive()
        self._ended = self._ended or not message.get("more_body", False)
        return message

    async def rest(self) -> Message:
        """`receive` for draining: returns an empty final message once the body has been read."""
        return _END if self._ended else await self.receive()

    def close(self) -> None:
        """Release the memory. From now on the body is empty."""
        if self._raw is not None:
            self._raw = self._decoded = b""
        self._upload.hold(0)

    async def _read(self) -> bytes:
        length = self._headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._limit:
            raise _too_large(self._limit)
        chunk = await self._receive_chunk()
        if self._ended:  # most bodies come in one message
            self._upload.hold(len(chunk))
            return bytes(chunk)
        return await self._read_pieces(chunk)

    async def _receive_chunk(self) -> bytes:
        message = await self._upload.wait(self._receive)
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._ended = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        if len(chunk) > self._limit:
            raise _too_large(self._limit)
        return chunk

    async def _read_pieces(self, chunk: bytes) -> bytes:
        """The whole of a body whose first piece is `chunk`."""
        pieces = _Pieces()
        try:
            while True:
                size = pieces.size + len(chunk)
                if size > self._limit:
                    raise _too_large(self._limit)
                self._upload.hold(size + size // 64)  # and the objects that hold the pieces
                pieces.append(chunk)
                if self._ended:
                    self._upload.hold(size if pieces.single else 2 * size + size // 64)
                    whole = pieces.joined()
                    pieces.clear()
                    self._upload.hold(size)
                    return whole
                chunk = await self._receive_chunk()
        finally:
            pieces.clear()  # the traceback of an error would hold them until the refusal is sent

    async def _decode(self, decode: Decode, raw: bytes) -> bytes:
        """Decode piece by piece, with a turn for the other tasks of the event loop after each."""
        limit = min(self._limit, max(UNPACKED, RATIO * len(raw)))
        pieces = _Pieces()
        try:
            for piece in decode(raw):
                size = pieces.size + len(piece)
                if size > limit:
                    raise _unpacked_too_far() if limit < self._limit else _too_large(limit)
                self._upload.hold(len(raw) + size + size // 64 + 2 * PIECE)  # the library's buffer, and the join
                pieces.append(piece)
                await asyncio.sleep(0)
            self._upload.hold(len(raw) + 2 * pieces.size + pieces.size // 64)
            decoded = pieces.joined()
        finally:
            pieces.clear()
        self._upload.hold(len(raw) + len(decoded))
        return decoded


class _Pieces:
    """The pieces that have arrived, small ones joined: each single byte would be an object of 40 bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []
        self._small = bytearray()

    @property
    def single(self) -> bool:
        return not self._small and len(self._pieces) <= 1

    def append(self, piece: bytes) -> None:
        self.size += len(piece)
        if len(piece) < _SMALL:
            self._small += piece
            if len(self._small) < _SMALL:
                return
            piece = b""
        if self._small:
            self._pieces.append(bytes(self._small))
            self._small.clear()
        if piece:
            self._pieces.append(piece)

    def joined(self) -> bytes:
        return self._pieces[0] if self.single and self._pieces else b"".join([*self._pieces, self._small])

    def clear(self) -> None:
        self._pieces.clear()
        self._small.clear()


async def drain(
    receive: Receive, limit: int = LIMIT, seconds: float = DRAIN_SECONDS, silence: float = DRAIN_SILENCE
) -> bool:
    """Read the rest of a body and discard it. False if `limit` bytes or `seconds` were not enough, or nothing came for
    `silence` seconds.

    A client that is still writing when the response arrives may get a broken pipe and not read the response: so does
    Node's fetch, on most servers, from a few megabytes on. A client that is silent is not writing.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while limit >= 0:
                async with asyncio.timeout(silence):
                    message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return True
                limit -= len(message.get("body", b""))
    return False


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the request body is larger than {limit} bytes")


def _unpacked_too_far() -> BodyTooLarge:
    return BodyTooLarge(f"the request body unpacks to more than {RATIO} times its size")
