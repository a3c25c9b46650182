"""The content-encodings of a request body (RFC 9110 section 8.4), as far as they can be undone without being blown up.

Each library can stop at a given size, which is what makes it usable on bytes from strangers: brotli learnt that in 1.2.
gzip and deflate are always there; br and zstd only where the library is installed (zstd is in Python from 3.14).
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from asgi_llmgate.errors import InvalidRequest

Decode = Callable[[bytes, int], bytes]
"""Decodes a whole body to little more than a limit: one byte more than allowed says that it is too large.  While it
works it holds twice that much: the pieces, and what they are joined to."""

_STEP = 2**15


class _Result(NamedTuple):
    data: bytes
    complete: bool
    """At the end of its data, and nothing follows: who reads on, and who does not, would see different bodies."""


def decoder_for(encoding: str) -> Decode | None:
    """How to undo a `content-encoding`; None where there is nothing to undo.  Raises InvalidRequest for an unknown
    one."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    inflate = _INFLATERS.get(name)
    if inflate is None:
        known = ", ".join(_INFLATERS)
        raise InvalidRequest(f"content-encoding {name[:40]!r} is not supported here; send one of: {known}, identity")

    def decode(data: bytes, limit: int) -> bytes:
        try:
            result = inflate(data, limit + 1)
        except Exception as error:  # zlib.error, ZstdError, brotli.error: each library has its own
            raise InvalidRequest(f"the body is not valid {name}", detail=type(error).__name__) from None
        if not result.complete and len(result.data) <= limit:
            raise InvalidRequest(f"the body ends in the middle of its {name} data, or goes on after it")
        return result.data

    return decode


_Inflate = Callable[[bytes, int], _Result]


def _zlib(data: bytes, size: int, wbits: int) -> _Result:
    decoder = zlib.decompressobj(wbits)
    return _Result(decoder.decompress(data, size), decoder.eof and not decoder.unused_data)


def _gzip(data: bytes, size: int) -> _Result:
    return _zlib(data, size, 16 + zlib.MAX_WBITS)


def _deflate(data: bytes, size: int) -> _Result:
    try:
        return _zlib(data, size, zlib.MAX_WBITS)
    except zlib.error:  # RFC 9110 section 8.4.1.2: some send the raw stream, without zlib's wrapping
        return _zlib(data, size, -zlib.MAX_WBITS)


def _brotli(library: Any) -> _Inflate:
    def inflate(data: bytes, size: int) -> _Result:
        decoder = library.Decompressor()
        pieces: list[bytes] = []
        room = size
        while room > 0 and not decoder.is_finished():  # of a large limit it gives up to twice as much
            pieces.append(decoder.process(data, output_buffer_limit=min(room, _STEP)))
            if not pieces[-1]:
                break
            data, room = b"", room - len(pieces[-1])
        return _Result(b"".join(pieces), decoder.is_finished())

    return inflate


def _zstd(library: Any) -> _Inflate:
    def inflate(data: bytes, size: int) -> _Result:
        decoder = library.ZstdDecompressor()
        return _Result(decoder.decompress(data, size), decoder.eof and not decoder.unused_data)

    return inflate


def _inflaters() -> dict[str, _Inflate]:
    found: dict[str, _Inflate] = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate}
    with suppress(ImportError):
        brotli = importlib.import_module("brotli")
        if hasattr(brotli.Decompressor, "can_accept_more_data"):
            found["br"] = _brotli(brotli)
    for name in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            found["zstd"] = _zstd(importlib.import_module(name))
            break
    return found


_INFLATERS = _inflaters()
