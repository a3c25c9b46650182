from __future__ import annotations

import asyncio
import gzip
import importlib.util
import zlib
from collections.abc import Callable, Iterable

import pytest

from asgi_llmgate._types import Message
from asgi_llmgate.asgi import Body, drain
from asgi_llmgate.errors import BodyTooLarge, ClientGone, InvalidRequest

DISCONNECT: Message = {"type": "http.disconnect"}


class Server:
    """A server's receive: the body in parts, then nothing until the client leaves."""

    def __init__(self, *parts: bytes, then: Message | None = None) -> None:
        self.left = [
            {"type": "http.request", "body": part, "more_body": index + 1 < len(parts)}
            for index, part in enumerate(parts)
        ]
        self._then = then

    async def __call__(self) -> Message:
        if self.left:
            return self.left.pop(0)
        if self._then is None:
            await asyncio.Event().wait()
        assert self._then is not None
        return self._then


def body(*parts: bytes, limit: int = 100, headers: Iterable[tuple[str, str]] = ()) -> Body:
    return Body(Server(*parts, then=DISCONNECT), limit=limit, headers=dict(headers))


@pytest.mark.parametrize("parts", [(b"",), (b"abc",), (b"a", b"", b"bc"), (b"abc", b"")])
async def test_a_body_is_read_whole_and_once(parts: tuple[bytes, ...]) -> None:
    read = body(*parts)
    assert await read.read() == b"".join(parts)
    assert await read.read() == b"".join(parts)


async def test_a_body_that_was_read_is_played_once_and_then_the_server_speaks() -> None:
    read = body(b"ab", b"c")
    await read.read()
    assert await read.receive() == {"type": "http.request", "body": b"abc", "more_body": False}
    assert await read.receive() == DISCONNECT


async def test_a_body_that_was_not_read_passes_through_as_it_comes() -> None:
    unread = body(b"ab", b"c")
    assert [(await unread.receive())["body"] for _ in range(2)] == [b"ab", b"c"]


@pytest.mark.parametrize("taken", [0, 1, 2, "read", "read and played"])
async def test_what_is_left_of_a_body_ends_however_much_was_taken(taken: int | str) -> None:
    given = Body(Server(b"ab", b"c"), headers={})
    if isinstance(taken, int):
        for _ in range(taken):
            await given.receive()
    else:
        await given.read()
        if taken == "read and played":
            await given.receive()
    async with asyncio.timeout(1):
        assert await drain(given.rest)


async def test_a_dropped_body_is_empty() -> None:
    dropped = body(b"abc")
    await dropped.read()
    dropped.close()
    assert await dropped.read() == b""
    assert (await dropped.receive())["body"] == b""


async def test_a_client_that_leaves_in_the_middle_is_gone() -> None:
    with pytest.raises(ClientGone):
        await Body(Server(then=DISCONNECT), headers={}).read()


async def test_the_limit_is_the_last_size_that_passes() -> None:
    assert len(await body(bytes(60), bytes(40)).read()) == 100
    with pytest.raises(BodyTooLarge):
        await body(bytes(60), bytes(41)).read()


async def test_a_length_that_is_too_large_is_refused_before_anything_is_read() -> None:
    server = Server(bytes(101))
    with pytest.raises(BodyTooLarge):
        await Body(server, limit=100, headers={"content-length": "101"}).read()
    assert len(server.left) == 1


@pytest.mark.parametrize("length", ["", "x", "-1", "1_000", "²"])
async def test_a_length_that_is_none_is_left_to_the_server(length: str) -> None:
    assert await body(b"abc", headers=[("content-length", length)]).read() == b"abc"


async def test_a_body_that_was_too_large_is_drained_from_where_reading_stopped() -> None:
    server = Server(bytes(60), bytes(60), bytes(60), bytes(60))
    large = Body(server, limit=100, headers={})
    with pytest.raises(BodyTooLarge):
        await large.read()
    assert await drain(large.rest)
    assert server.left == []


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def brotli(data: bytes) -> bytes:
    compressed: bytes = pytest.importorskip("brotli").compress(data)
    return compressed


def zstd(data: bytes) -> bytes:
    name = "compression.zstd" if importlib.util.find_spec("compression") else "backports.zstd"
    compressed: bytes = pytest.importorskip(name).compress(data)
    return compressed


encodings = pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        pytest.param("gzip", gzip.compress, id="gzip"),
        pytest.param("X-GZip", gzip.compress, id="an alias, in another case"),
        pytest.param("deflate", zlib.compress, id="deflate"),
        pytest.param("deflate", raw_deflate, id="deflate without zlib's wrapping"),
        pytest.param("br", brotli, id="br"),
        pytest.param("zstd", zstd, id="zstd"),
    ],
)


@encodings
async def test_an_encoding_is_undone(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    encoded = compress(b"abc" * 30)
    read = body(encoded[:5], encoded[5:], headers=[("content-encoding", encoding)])
    assert await read.read() == b"abc" * 30
    assert (await read.receive())["body"] == encoded, "the next app sees the same header, so the same bytes"


@encodings
async def test_a_bomb_is_as_large_as_it_unpacks(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    assert len(await body(compress(bytes(2000)), limit=2000, headers=[("content-encoding", encoding)]).read()) == 2000
    with pytest.raises(BodyTooLarge):
        await body(compress(bytes(2001)), limit=2000, headers=[("content-encoding", encoding)]).read()
    with pytest.raises(BodyTooLarge):
        await body(compress(bytes(10**7)), limit=10**5, headers=[("content-encoding", encoding)]).read()


@encodings
async def test_half_of_an_encoded_body_and_one_and_a_half_are_refused(
    encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    encoded = compress(bytes(range(90)))
    for wrong in (encoded[:-6], encoded + encoded, b"not encoded at all", b""):
        with pytest.raises(InvalidRequest):
            await body(wrong, limit=1000, headers=[("content-encoding", encoding)]).read()


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
async def test_no_encoding_is_no_work(encoding: str) -> None:
    assert await body(b"abc", headers=[("content-encoding", encoding)]).read() == b"abc"


@pytest.mark.parametrize("encoding", ["compress", "gzip, gzip", "aes128gcm", "x" * 200])
async def test_an_unknown_encoding_is_refused_by_name_before_anything_is_read(encoding: str) -> None:
    server = Server(b"abc")
    with pytest.raises(InvalidRequest) as failure:
        await Body(server, headers={"content-encoding": encoding}).read()
    assert encoding[:40] in failure.value.message
    assert "gzip" in failure.value.message
    assert len(failure.value.message) < 200
    assert len(server.left) == 1


async def test_draining_ends_with_the_body() -> None:
    server = Server(bytes(10), bytes(10))
    assert await drain(server)
    assert server.left == []


async def test_draining_ends_when_the_client_leaves() -> None:
    assert await drain(Server(then=DISCONNECT))


async def test_draining_is_bounded_in_bytes() -> None:
    server = Server(*[bytes(10)] * 10)
    assert not await drain(server, limit=35)
    assert len(server.left) == 6


async def test_draining_is_bounded_in_time() -> None:
    assert not await drain(Server(), seconds=0.01)


async def test_draining_does_not_wait_for_who_is_silent() -> None:
    assert not await drain(Server(), seconds=60, silence=0.01)


async def test_draining_a_body_that_was_read_does_not_wait() -> None:
    read = Body(Server(b"abc"), headers={})
    await read.read()
    assert await drain(read.rest, seconds=5)
