"""Decompresses the body of a response (RFC 9110 section 8.4), piece by piece.

The gateway asks for responses without compression; some servers compress nevertheless.
"""
# Not httpx's decoders: they decompress each chunk at once, and a chunk of a kilobyte may become a megabyte.  Here the
# output comes in pieces, so the reader can count the bytes and stop.

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator

from asgi_llmgate.errors import Broken

PIECE = 64 * 1024
"""Bytes of output at a time, at most."""

_SUPPORTED = frozenset({"gzip", "x-gzip", "deflate"})
_COMPRESSIONS = _SUPPORTED | {"br", "zstd", "compress", "x-compress", "dcb", "dcz"}
"""Other names are ignored: some servers send `content-encoding: utf-8`."""

_PLAIN = frozenset(b"{[deir:<\n\r\xef")
"""First bytes of a body that a proxy has decompressed, leaving its header as it was: of JSON, a stream, HTML.  gzip
begins with 1f; deflate without a header may begin with any of these, so there nothing is guessed."""


def decode_body(source: AsyncIterator[bytes], encoding: str) -> AsyncGenerator[bytes, None] | None:
    """The decompressed bytes of a body with this `content-encoding`; None if it is not compressed.

    Iterating raises Broken for a compression that is not supported, and for data that is not valid.
    """
    names = [name for part in encoding.split(",") if (name := part.strip().lower()) in _COMPRESSIONS]
    return _decompress(source, ", ".join(names)) if names else None


async def _decompress(source: AsyncIterator[bytes], name: str) -> AsyncGenerator[bytes, None]:
    if name not in _SUPPORTED:
        raise Broken("the model server compressed its response, which it was asked not to do", detail=name)
    inflate = None
    try:
        async for data in source:
            more = bool(data)
            while more:
                # The first member, or a further one (RFC 1952 section 2.2).
                if inflate is None and name != "deflate" and data[0] in _PLAIN:
                    async for plain in _chain(data, source):
                        yield plain
                    return
                if inflate is None or (inflate.eof and data):
                    inflate = zlib.decompressobj(_window(name, data))
                piece = inflate.decompress(data, PIECE)
                data = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
                if piece:
                    yield piece
                    await asyncio.sleep(0)  # let other tasks run: nothing else here waits between two pieces
                more = bool(data) or len(piece) == PIECE  # after a full piece, zlib may still hold output
    except zlib.error:
        raise Broken("the model server's response is not encoded as its content-encoding says", detail=name) from None
    if inflate is not None and not inflate.eof:
        raise Broken("the model server's response was cut off in the middle of its compressed data", detail=name)


async def _chain(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for data in rest:
        yield data


def _window(name: str, data: bytes) -> int:
    """zlib's `wbits` for the format.  Some servers send `deflate` without zlib's header (RFC 9110 section 8.4.1.2)."""
    if name != "deflate":
        return 16 + zlib.MAX_WBITS
    return zlib.MAX_WBITS if data[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS
