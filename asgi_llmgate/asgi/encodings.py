"""The content-encodings of a request body (RFC 9110 section 8.4), undone piece by piece.

A body from a stranger may be a bomb, and 32 MiB of text take a third of a second in brotli.  So each library gets a
little of the body at a time and gives no more than a little: whoever takes the pieces can count them, and do something
else in between.  gzip and deflate are always there; br and zstd only where the library is installed (brotli from 1.2;
zstd is in Python from 3.14).
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from asgi_llmgate.errors import InvalidRequest

Decode = Callable[[bytes], Iterator[bytes]]
"""The decoded body in pieces of at most about PIECE bytes.  Raises InvalidRequest for what is no such encoding, and if
the body is not exactly one whole piece of encoded data: who reads on after its end, and who does not, would see
different bodies."""

PIECE = 2**16

_BITE = 2**15
"""Bytes of the encoded body that a library gets at a time."""

_Pieces = Iterator[bytes]
_Inflate = Callable[[Iterator[bytes]], _Pieces]
"""Gives pieces and, after its data has ended, stops; EOFError if that is not where the bites end."""


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

    def decode(data: bytes) -> Iterator[bytes]:
        bites = (data[start : start + _BITE] for start in range(0, len(data), _BITE))
        try:
            yield from inflate(bites)
        except EOFError:
            raise InvalidRequest(f"the body ends in the middle of its {name} data, or goes on after it") from None
        except Exception as error:  # zlib.error, ZstdError, brotli.error: each library has its own
            raise InvalidRequest(f"the body is not valid {name}", detail=type(error).__name__) from None

    return decode


def _zlib(wbits: int) -> _Inflate:
    def inflate(bites: Iterator[bytes]) -> _Pieces:
        decoder = zlib.decompressobj(wbits)
        for bite in bites:
            if decoder.eof:
                raise EOFError
            while not decoder.eof:
                piece = decoder.decompress(bite, PIECE)
                bite = decoder.unconsumed_tail
                yield piece
                if not bite and len(piece) < PIECE:
                    break
        if not decoder.eof or decoder.unused_data:
            raise EOFError

    return inflate


def _deflate(bites: Iterator[bytes]) -> _Pieces:
    first = next(bites, b"")
    try:
        zlib.decompressobj().decompress(first, PIECE)
        wbits = zlib.MAX_WBITS
    except zlib.error:  # RFC 9110 section 8.4.1.2: some send the raw stream, without zlib's wrapping
        wbits = -zlib.MAX_WBITS
    return _zlib(wbits)(_chained(first, bites))


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _brotli(library: Any) -> _Inflate:
    def inflate(bites: Iterator[bytes]) -> _Pieces:
        decoder = library.Decompressor()
        for bite in bites:
            while piece := decoder.process(bite, output_buffer_limit=PIECE):  # gives up to twice as much
                bite = b""
                yield piece
        if not decoder.is_finished():
            raise EOFError

    return inflate


def _zstd(library: Any) -> _Inflate:
    def inflate(bites: Iterator[bytes]) -> _Pieces:
        decoder = library.ZstdDecompressor()
        for bite in bites:
            if decoder.eof:
                raise EOFError
            yield decoder.decompress(bite, PIECE)
            while not (decoder.eof or decoder.needs_input):
                yield decoder.decompress(b"", PIECE)
        if not decoder.eof or decoder.unused_data:
            raise EOFError

    return inflate


def _inflaters() -> dict[str, _Inflate]:
    gzip = _zlib(16 + zlib.MAX_WBITS)
    found: dict[str, _Inflate] = {"gzip": gzip, "x-gzip": gzip, "deflate": _deflate}
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
