"""An answer that is compressed although it was asked not to be (RFC 9110 section 8.4), piece by piece.

One piece of a kilobyte can stand for a megabyte, so what comes out comes in pieces, too: whoever reads them counts
them, and may stop.  httpx undoes each piece whole.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

from asgi_llmgate.errors import Broken

PIECE = 64 * 1024
"""Bytes that come out at a time."""

_UNDONE = frozenset({"gzip", "x-gzip", "deflate"})
_KNOWN = _UNDONE | {"br", "zstd", "compress", "x-compress", "dcb", "dcz"}
"""A name that is no compression (some servers say `utf-8`) means nothing."""


def decoded(source: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """The bytes of an answer with this `content-encoding`.  Iterating raises Broken for what cannot be undone."""
    names = [name for part in encoding.split(",") if (name := part.strip().lower()) in _KNOWN]
    return _inflated(source, ", ".join(names)) if names else source


async def _inflated(source: AsyncIterator[bytes], name: str) -> AsyncIterator[bytes]:
    if name not in _UNDONE:
        raise Broken("the model server compressed its answer, which it was asked not to do", detail=name)
    inflate = None
    try:
        async for data in source:
            more = bool(data)
            while more:
                if inflate is None or (inflate.eof and data):  # the first, or another member (RFC 1952 section 2.2)
                    inflate = zlib.decompressobj(_window(name, data))
                piece = inflate.decompress(data, PIECE)
                data = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
                if piece:
                    yield piece
                    await asyncio.sleep(0)  # nothing is waited for between two pieces, and others want to work, too
                more = bool(data) or len(piece) == PIECE  # a full piece may have left something inside
    except zlib.error:
        raise Broken("the model server's answer is not what its content-encoding says", detail=name) from None
    if inflate is not None and not inflate.eof:
        raise Broken("the model server's answer was cut in the middle of its compressed data", detail=name)


def _window(name: str, data: bytes) -> int:
    """zlib's `wbits`.  `deflate` is zlib's format; some send it without zlib's head (RFC 9110 section 8.4.1.2)."""
    if name != "deflate":
        return 16 + zlib.MAX_WBITS
    return zlib.MAX_WBITS if data[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS
