"""Decompresses a request body by its content-encoding (RFC 9110 section 8.4), piece by piece.

A body may be a decompression bomb, and 32 MiB of text take a third of a second in brotli.  So each library gets a small
part of the body at a time and returns a small piece: the caller can count the bytes and let other tasks run.

gzip and deflate are always supported; br and zstd if the library is installed (brotli from 1.2; zstd is a part of
Python from 3.14).
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from asgi_llmgate.errors import InvalidRequest

Decode = Callable[[bytes], Iterator[bytes]]
"""Yields the decompressed body in pieces of about PIECE bytes at most.

Raises InvalidRequest for data that is not valid, and unless the body is exactly one compressed stream.
"""
# After the end of the stream some readers go on and others stop, so they would see different bodies.

PIECE = 2**16
"""Bytes of output at a time."""

_INPUT_SIZE = 2**15
"""Bytes of input that a library gets at a time."""

_Pieces = Iterator[bytes]
_Decompress = Callable[[Iterator[bytes]], _Pieces]
"""Yields the output for parts of the input.  Raises EOFError unless the compressed data ends where the input ends."""


def decoder_for(encoding: str) -> Decode | None:
    """The function that decompresses a `content-encoding`; None for `identity`.

    Raises InvalidRequest for an encoding that is not supported.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    decompress = _DECOMPRESSORS.get(name)
    if decompress is None:
        known = ", ".join(_DECOMPRESSORS)
        raise InvalidRequest(f"content-encoding {name[:40]!r} is not supported; send one of: {known}, identity")

    def decode(data: bytes) -> Iterator[bytes]:
        parts = (data[start : start + _INPUT_SIZE] for start in range(0, len(data), _INPUT_SIZE))
        try:
            yield from decompress(parts)
        except EOFError:
            raise InvalidRequest(f"the body ends in the middle of its {name} data, or continues after it") from None
        except Exception as error:  # zlib.error, ZstdError, brotli.error: each library has its own
            raise InvalidRequest(f"the body is not valid {name}", detail=type(error).__name__) from None

    return decode


def _zlib(wbits: int) -> _Decompress:
    def decompress(parts: Iterator[bytes]) -> _Pieces:
        decoder = zlib.decompressobj(wbits)
        for part in parts:
            if decoder.eof:
                raise EOFError
            while not decoder.eof:
                piece = decoder.decompress(part, PIECE)
                part = decoder.unconsumed_tail
                yield piece
                if not part and len(piece) < PIECE:
                    break
        if not decoder.eof or decoder.unused_data:
            raise EOFError

    return decompress


def _deflate(parts: Iterator[bytes]) -> _Pieces:
    first = next(parts, b"")
    try:
        zlib.decompressobj().decompress(first, PIECE)
        wbits = zlib.MAX_WBITS
    except zlib.error:  # RFC 9110 section 8.4.1.2: some clients send the raw stream, without zlib's header
        wbits = -zlib.MAX_WBITS
    return _zlib(wbits)(_chain(first, parts))


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _brotli(library: Any) -> _Decompress:
    def decompress(parts: Iterator[bytes]) -> _Pieces:
        decoder = library.Decompressor()
        for part in parts:
            while piece := decoder.process(part, output_buffer_limit=PIECE):  # may return twice as much
                part = b""
                yield piece
        if not decoder.is_finished():
            raise EOFError

    return decompress


def _zstd(library: Any) -> _Decompress:
    def decompress(parts: Iterator[bytes]) -> _Pieces:
        decoder = library.ZstdDecompressor()
        for part in parts:
            if decoder.eof:
                raise EOFError
            yield decoder.decompress(part, PIECE)
            while not (decoder.eof or decoder.needs_input):
                yield decoder.decompress(b"", PIECE)
        if not decoder.eof or decoder.unused_data:
            raise EOFError

    return decompress


def _find_decompressors() -> dict[str, _Decompress]:
    gzip = _zlib(16 + zlib.MAX_WBITS)
    found: dict[str, _Decompress] = {"gzip": gzip, "x-gzip": gzip, "deflate": _deflate}
    with suppress(ImportError):
        brotli = importlib.import_module("brotli")
        # From version 1.2 on; before, the output cannot be limited.
        if hasattr(brotli.Decompressor, "can_accept_more_data"):
            found["br"] = _brotli(brotli)
    for name in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            found["zstd"] = _zstd(importlib.import_module(name))
            break
    return found


_DECOMPRESSORS = _find_decompressors()
