"""Encodings are undone piece by piece, whatever is in the body and wherever its pieces end."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable

import pytest

from asgi_llmgate.asgi.encodings import PIECE, decoder_for
from asgi_llmgate.errors import InvalidRequest
from tests.asgi.test_body import brotli, raw_deflate, zstd

ENCODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli),
    "zstd": ("zstd", zstd),
}
NOISE = random.Random(1).randbytes(3 * PIECE + 7)
"""What no encoding makes smaller, so that its bites end in the middle."""

TEXT = b"".join(b"%d;" % (number * 7919 % 10007) for number in range(60_000))
SIZES = [0, 1, 2**15 - 1, 2**15, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7]
BODIES = {
    **{f"{size} zeros": bytes(size) for size in SIZES},
    **{f"{size} random": NOISE[:size] for size in SIZES},
    "text": TEXT,
    "4 MiB of zeros": bytes(2**22),
}

every = pytest.mark.parametrize("encoding", ENCODINGS)


@every
@pytest.mark.parametrize("body", BODIES)
def test_the_pieces_are_small_and_together_the_body(encoding: str, body: str) -> None:
    name, encode = ENCODINGS[encoding]
    decode = decoder_for(name)
    assert decode is not None
    pieces = list(decode(encode(BODIES[body])))
    assert b"".join(pieces) == BODIES[body]
    assert max(map(len, pieces), default=0) <= 2 * PIECE


@every
@pytest.mark.parametrize("body", ["0 zeros", "196608 zeros", "196608 random", "32768 random", "text"])
def test_what_is_not_one_whole_piece_of_encoded_data_is_refused(encoding: str, body: str) -> None:
    name, encode = ENCODINGS[encoding]
    encoded = encode(BODIES[body])
    decode = decoder_for(name)
    assert decode is not None
    cuts = {len(encoded) - 1, len(encoded) // 2, min(2**15, len(encoded) - 1), 1, 0}
    wrong = [encoded[:cut] for cut in cuts if cut < len(encoded)]
    wrong += [encoded + more for more in (b"x", b"\0", encoded, bytes(2**15), bytes(2**15 - len(encoded) % 2**15))]
    for data in wrong:
        with pytest.raises(InvalidRequest):
            list(decode(data))
