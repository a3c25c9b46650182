"""Compressed answers: undone in small pieces, so that whoever reads them can stop."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from asgi_llmgate.errors import Broken
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.net.decoding import PIECE, decode_body

TEXT = b"all work and no play makes Jack a dull boy, " * 5000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    " gzip ": gzip.compress,
    "gzip, identity": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": zlib.compress,
    "identity": bytes,
    "utf-8": bytes,
    "": bytes,
}


async def source(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def undone(encoding: str, *pieces: bytes) -> list[bytes]:
    decoded = decode_body(source(*pieces), encoding)
    return list(pieces) if decoded is None else [piece async for piece in decoded]


@pytest.mark.parametrize("size", [1, 7, 10**6])
@pytest.mark.parametrize("encoding", CODINGS)
async def test_each_coding_is_undone_however_it_is_cut(encoding: str, size: int) -> None:
    data = CODINGS[encoding](TEXT[: 2000 if size == 1 else None])
    pieces = await undone(encoding, *(data[start : start + size] for start in range(0, len(data), size)))
    assert TEXT.startswith(b"".join(pieces))
    assert len(b"".join(pieces)) == (2000 if size == 1 else len(TEXT))


async def test_deflate_without_its_head_is_undone() -> None:
    assert b"".join(await undone("deflate", b"", raw_deflate(TEXT))) == TEXT


async def test_members_may_follow_one_another() -> None:
    data = gzip.compress(b"a") + gzip.compress(b"") + gzip.compress(b"b")
    assert b"".join(await undone("gzip", data)) == b"ab"
    assert b"".join(await undone("gzip", gzip.compress(b"a"), gzip.compress(b"b"))) == b"ab"


@pytest.mark.parametrize("more", range(-3, 4))
async def test_a_piece_that_is_just_full_loses_nothing(more: int) -> None:
    data = gzip.compress(b"\0" * (2 * PIECE + more))
    pieces = await undone("gzip", data[:-8], data[-8:])
    assert len(b"".join(pieces)) == 2 * PIECE + more
    assert max(map(len, pieces)) <= PIECE


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(TEXT)[:-9]),
        ("gzip", gzip.compress(TEXT) + b"more"),
        ("deflate", b"not deflate"),
        ("br", b"x"),
        ("BR", b"x"),
        ("zstd", b"x"),
        ("compress", b"x"),
        ("gzip, gzip", gzip.compress(gzip.compress(TEXT))),
        ("gzip, br", gzip.compress(TEXT)),
    ],
)
async def test_what_cannot_be_undone_is_broken(encoding: str, data: bytes) -> None:
    with pytest.raises(Broken, match="the model server"):
        await undone(encoding, data)


async def test_an_empty_answer_is_empty() -> None:
    assert await undone("gzip") == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_small_answer_that_stands_for_a_large_one_stops_at_the_limit(encoding: str) -> None:
    bomb = CODINGS[encoding](b"\0" * 50_000_000)
    given = 0

    class Stream(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal given
            for start in range(0, len(bomb), 1000):
                given += 1
                yield bomb[start : start + 1000]

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": encoding}, stream=Stream())

    client = HTTPClient(transport=httpx.MockTransport(answer))
    with pytest.raises(Broken, match="too large"):
        await client.fetch("http://server.test/", limit=3_000_000)
    assert given < 6
    await client.aclose()


async def test_others_work_between_two_pieces() -> None:
    turns: list[Any] = []

    async def other() -> None:
        while True:
            turns.append(None)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    pieces = await undone("gzip", gzip.compress(b"\0" * (20 * PIECE)))
    task.cancel()
    assert len(turns) >= len(pieces)
