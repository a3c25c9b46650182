"""A model server's refusal is judged by its beginning, however long, slow, compressed or cut off the rest is."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from asgi_llmgate.errors import Overloaded, PromptTooLong, RequestRejected, Throttled, UpstreamError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.net import HTTPClient, Timeouts
from asgi_llmgate.upstream import Backend, Upstream

TOO_LONG = "This model's maximum context length is 100 tokens. However, your messages resulted in 120 tokens."
FILLING = "x" * 300_000
QUOTING = {"error": {"message": TOO_LONG, "type": "BadRequestError", "code": 400, "input": [FILLING]}}


class Pieces(httpx.AsyncByteStream):
    """A body in pieces, which may be bytes, or an exception to raise, or None: nothing more comes."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = pieces
        self.sent = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if piece is None:
                await asyncio.Event().wait()
            if isinstance(piece, Exception):
                raise piece
            self.sent += 1
            yield piece

    async def aclose(self) -> None:
        self.closed = True


def chopped(data: bytes, size: int = 8192) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


async def refused(stream: Pieces, status: int = 400, ask: bool = False, **headers: str) -> UpstreamError:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    client = HTTPClient(transport=httpx.MockTransport(lambda _: httpx.Response(status, headers=fields, stream=stream)))
    upstream = Upstream(Backend(base_url="http://model.test/v1"), client)
    call = upstream.forward("POST", "/chat/completions", "", [], b"{}", Exchange())
    question = upstream.fetch("/tokenize", b"{}", Exchange())
    (question, call)[ask].close()
    with pytest.raises(UpstreamError) as caught:
        await (call, question)[ask]
    assert stream.closed
    return caught.value


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


LONG = json.dumps(QUOTING).encode()
TOO_LONG_IN = {
    "over the limit": Pieces(*chopped(LONG)),
    "over the limit in one piece": Pieces(LONG),
    "a hundred megabytes": Pieces(*chopped(LONG), *[b"y" * 65536] * 1600),
    "cut off": Pieces(json.dumps(QUOTING).encode()[:5000], httpx.ReadError("reset")),
    "cut off after the words": Pieces(LONG[: LONG.index(b'", "type')], httpx.ReadError("reset")),
    "in vLLM's old form": Pieces(json.dumps({"object": "error", "message": TOO_LONG, "detail": FILLING}).encode()),
    "a JSON text in a JSON text": Pieces(json.dumps({"error": json.dumps(QUOTING)[:70_000]}).encode()[:60_000]),
    "a list": Pieces(b"[" + LONG + b"]"),
}


@pytest.mark.parametrize("ask", [False, True], ids=["of a call", "of a question"])
@pytest.mark.parametrize("name", TOO_LONG_IN)
async def test_a_long_refusal_is_understood_by_its_beginning(name: str, ask: bool) -> None:
    body = TOO_LONG_IN[name]
    stream = Pieces(*body.pieces)
    error = await refused(stream, ask=ask)
    assert isinstance(error, PromptTooLong)
    assert error.client_message == error.message == "prompt is too long: 120 tokens > 100 maximum"
    assert error.status == 400
    assert sum(map(len, stream.pieces[: stream.sent])) < 1_100_000


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)],
    ids=["gzip", "x-gzip", "deflate", "deflate without zlib"],
)
@pytest.mark.parametrize("size", [1, 400, 10**6], ids=["whole", "in pieces", "large"])
async def test_a_compressed_refusal_is_understood(coding: str, pack: Callable[[bytes], bytes], size: int) -> None:
    packed = pack(json.dumps({**QUOTING, "more": "z" * (10**7 if size > 10**5 else size)}).encode())
    error = await refused(Pieces(*chopped(packed, 400)), content_encoding=coding)
    assert isinstance(error, PromptTooLong)


async def test_a_compressed_refusal_is_not_unpacked_whole() -> None:
    packed = gzip.compress(b'{"error":{"message":"no","input":"' + bytes(100_000_000))
    tracemalloc.start()
    try:
        error = await refused(Pieces(packed), content_encoding="gzip")
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert isinstance(error, RequestRejected)
    assert error.client_message == "no"


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("br", b"\x0b\x02\x80{}\x03"),
        ("zstd", b"(\xb5/\xfd"),
        ("gzip", b"no gzip"),
        ("gzip, gzip", gzip.compress(b"{}")),
    ],
)
async def test_what_cannot_be_unpacked_is_judged_by_its_status(coding: str, body: bytes) -> None:
    error = await refused(Pieces(body), 429, content_encoding=coding, retry_after="7")
    assert (type(error), error.retry_after, error.detail) == (Throttled, 7, "upstream 429")


@pytest.mark.parametrize("status", [400, 404, 413, 422, 429, 500, 503, 529])
@pytest.mark.parametrize(
    "body",
    [LONG, b"<html>" + b"x" * 300_000, b'{"detail":[{"loc":["body"],"input":"' + b"x" * 300_000, b"\xff" * 300_000],
    ids=["JSON", "a page", "words behind the input", "no text"],
)
async def test_no_length_of_a_refusal_hides_its_status_or_its_wait(status: int, body: bytes) -> None:
    error = await refused(Pieces(*chopped(body)), status, retry_after="30")
    assert error.status == status
    if status in (503, 529) and body is LONG:  # a proxy has made a 503 of a conversation that is too long
        assert isinstance(error, PromptTooLong)
    elif status in (429, 503, 529):
        assert isinstance(error, (Throttled, Overloaded))
        assert error.retry_after == 30


async def test_a_refusal_that_does_not_end_is_judged_when_the_time_is_up() -> None:
    stream = Pieces(LONG[:1000], None)
    transport = httpx.MockTransport(lambda _: httpx.Response(400, stream=stream))
    client = HTTPClient(transport=transport)
    async with await client.open("POST", httpx.URL("http://model.test"), [], b"", Timeouts()) as answer:
        assert await answer.prefix(64 * 1024, seconds=0.01) == LONG[:1000]
    assert stream.closed
