"""One connection: what may come when it should not, large requests, and what is kept in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from asgi_llmgate.errors import Broken, MaybeSent, TimedOut
from asgi_llmgate.net import HTTPClient, Timeouts
from asgi_llmgate.net.native.connection import MAX_UNREAD, Connection
from asgi_llmgate.net.native.parser import ResponseParser
from tests.helpers.wire_server import reset

Listen = Callable[..., Awaitable[int]]
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig"
LARGE = bytes(8_000_000)


@pytest.fixture
async def client() -> AsyncIterator[HTTPClient]:
    made = HTTPClient(transport="native", proxy="none")
    yield made
    await made.aclose()


async def post(client: HTTPClient, port: int, content: bytes = b"{}") -> tuple[int, bytes]:
    url = httpx.URL(f"http://127.0.0.1:{port}/")
    async with await client.open("POST", url, [], content, Timeouts(first_byte=5, idle=5)) as response:
        return response.status, await response.read(1000)


async def read_request(reader: Reader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = [line for line in head.split(b"\r\n") if line.startswith(b"content-length: ")]
    await reader.readexactly(int(length[0].split()[1]) if length else 0)


class Server:
    """Responds to each request with `response`, then to none with `later`."""

    def __init__(self, response: bytes, later: bytes = b"") -> None:
        self.connections = 0
        self.sent_later = asyncio.Event()
        self._response = response
        self._later = later

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        while True:
            await read_request(reader)
            writer.write(self._response)
            if self._later:
                await asyncio.sleep(0.01)  # the response has been read
                writer.write(self._later)
                self.sent_later.set()


@pytest.mark.parametrize("more", [b"garbage", OK.replace(b"ok", b"no"), b"HTTP/1.1 408 Timeout\r\n\r\n"])
async def test_bytes_after_a_response_are_no_part_of_the_next_one(
    client: HTTPClient, listen: Listen, more: bytes
) -> None:
    server = Server(OK + more)
    port = await listen(server)
    assert [await post(client, port) for _ in range(3)] == [(200, b"ok")] * 3
    assert server.connections == 3


async def test_an_idle_connection_that_says_something_is_closed(client: HTTPClient, listen: Listen) -> None:
    server = Server(OK, later=OK.replace(b"ok", b"no"))
    port = await listen(server)
    for _ in range(3):
        assert await post(client, port) == (200, b"ok")
        await server.sent_later.wait()
        server.sent_later.clear()
        await asyncio.sleep(0.01)  # until it has arrived here
    assert server.connections == 3


async def test_a_server_that_refuses_a_connection_before_the_request_is_heard(
    client: HTTPClient, listen: Listen
) -> None:
    async def refuse(reader: Reader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nfull")

    assert await post(client, await listen(refuse)) == (503, b"full")


@pytest.mark.parametrize("ends", ["closes", "resets", "stays"])
@pytest.mark.parametrize("reads", [0, 1, 100_000], ids=["at once", "after the head", "after a part"])
async def test_a_response_to_half_of_a_request_is_read(
    client: HTTPClient, listen: Listen, ends: str, reads: int
) -> None:
    """A 413 while the body is on its way: writing then fails, and what was sent before can still be read."""

    async def refuse(reader: Reader, writer: Writer) -> None:
        if reads:
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(reads)
        writer.write(TOO_LARGE)
        await writer.drain()
        if ends == "stays":
            await asyncio.sleep(5)
        elif ends == "resets":
            await asyncio.sleep(0.01)  # a reset may overtake the response before it
            reset(writer)

    assert await post(client, await listen(refuse), LARGE) == (413, b"big")


async def test_a_large_request_is_written_whole_and_its_connection_used_again(
    client: HTTPClient, listen: Listen
) -> None:
    server = Server(OK)
    port = await listen(server)
    assert [await post(client, port, LARGE) for _ in range(2)] == [(200, b"ok")] * 2
    assert server.connections == 1


async def test_a_server_that_does_not_read_is_waited_for_only_so_long(client: HTTPClient, listen: Listen) -> None:
    async def ignore(reader: Reader, writer: Writer) -> None:
        await asyncio.sleep(5)

    url = httpx.URL(f"http://127.0.0.1:{await listen(ignore)}/")
    with pytest.raises(TimedOut) as failure:
        await client.open("POST", url, [], LARGE, Timeouts(first_byte=0.05))
    assert failure.value.phase == "first_byte"


async def test_a_server_waits_when_nobody_reads_its_response(client: HTTPClient, listen: Listen) -> None:
    written = 0

    async def flood(reader: Reader, writer: Writer) -> None:
        nonlocal written
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(1000):
            writer.write(bytes(MAX_UNREAD))
            await writer.drain()
            written += MAX_UNREAD

    url = httpx.URL(f"http://127.0.0.1:{await listen(flood)}/")
    async with await client.open("POST", url, [], b"{}", Timeouts()) as response:
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.05)
        assert written < 20_000_000  # what the system's buffers take, and ours
        size = 0
        async for chunk in response:
            assert len(chunk) <= MAX_UNREAD + 256 * 1024  # one read of asyncio at most
            size += len(chunk)
    assert size == 1000 * MAX_UNREAD


async def test_a_response_is_cut_off_where_its_connection_is_reset(client: HTTPClient, listen: Listen) -> None:
    async def cut(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello")
        await asyncio.sleep(0.01)
        reset(writer)

    with pytest.raises(Broken) as failure:
        await post(client, await listen(cut))
    assert failure.value.detail == "ConnectionResetError"


@pytest.mark.parametrize("begun", [b"", b"H"])
async def test_only_a_reused_connection_on_which_nothing_came_is_stale(
    client: HTTPClient, listen: Listen, begun: bytes
) -> None:
    async def respond_once(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(OK)
        await read_request(reader)
        writer.write(begun)

    port = await listen(respond_once)
    await post(client, port)
    with pytest.raises(MaybeSent) as failure:
        await post(client, port)
    assert failure.value.reused is (begun == b"")


class Wire(asyncio.Transport):
    """Takes everything at once, but for `unsent` bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unsent = 0
        self.aborted = False

    def write(self, data: object) -> None:
        self.written += bytes(data)  # type: ignore[call-overload]

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


async def begin(*received: bytes, lost: bool, content: bytes) -> tuple[Connection, Wire]:
    """A connection with a request that was begun after these bytes had come."""
    connection, wire = Connection(asyncio.get_running_loop()), Wire()
    connection.connection_made(wire)
    for data in received:
        connection.data_received(data)
    if lost:
        connection.connection_lost(None)
    rest = connection.start(ResponseParser(), b"POST / HTTP/1.1\r\n\r\n", content)
    if rest is not None:
        await connection.upload(rest)
    return connection, wire


async def test_a_connection_with_half_of_a_request_is_not_used_again() -> None:
    connection, wire = await begin(OK, lost=False, content=LARGE)
    assert connection.take() == b"ok"
    assert len(wire.written) < len(LARGE)
    assert not connection.finish()
    assert wire.aborted


async def test_a_connection_with_a_whole_request_is_used_again() -> None:
    connection, wire = await begin(lost=False, content=LARGE)
    assert len(wire.written) > len(LARGE)
    connection.data_received(OK)
    assert connection.take() == b"ok"
    assert connection.finish()


async def test_a_connection_that_has_not_sent_all_of_a_request_is_not_used_again() -> None:
    connection, wire = await begin(lost=False, content=b"{}")
    wire.unsent = 1
    connection.data_received(OK)
    assert connection.take() == b"ok"
    assert not connection.finish()
    assert wire.aborted


@pytest.mark.parametrize("received", [b"", OK])
async def test_a_connection_that_was_lost_before_its_request_is_not_waited_for(received: bytes) -> None:
    connection, wire = await begin(*([received] if received else []), lost=True, content=b"{}")
    if received:
        assert connection.take() == b"ok"
    else:
        with pytest.raises(MaybeSent):
            await asyncio.wait_for(connection.wait_for_head(), 2)
    assert wire.written == b""
    assert not connection.finish()
