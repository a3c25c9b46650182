"""Places, idle connections, and that nothing is left behind, wherever a request is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from asgi_llmgate.concurrency.chunks import iterate
from asgi_llmgate.errors import TimedOut
from asgi_llmgate.net import HTTPClient, Timeouts
from asgi_llmgate.net.native.connecting import Origin
from asgi_llmgate.net.native.parser import ResponseParser
from asgi_llmgate.net.native.pool import KEEP_IDLE, Pool
from asgi_llmgate.net.tls import TLS

Listen = Callable[..., Awaitable[int]]
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Server:
    """Says ok to each request, after `ready`; counts connections, and those that are open."""

    def __init__(self) -> None:
        self.connections = 0
        self.open = 0
        self.ready = asyncio.Event()
        self.ready.set()

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await self.ready.wait()
                writer.write(OK)
        finally:
            self.open -= 1

    async def until_open(self, number: int) -> None:
        async with asyncio.timeout(2):
            while self.open != number:
                await asyncio.sleep(0.001)


@pytest.fixture
def pool() -> Any:
    pools: list[Pool] = []

    def make(limit: int) -> Pool:
        pools.append(Pool(tls=TLS(), limit=limit))
        return pools[-1]

    yield make
    for each in pools:
        each.close()


async def use(pool: Pool, origin: Origin, timeouts: Timeouts = Timeouts(pool=2)) -> None:  # noqa: B008
    connection = await pool.take(origin, timeouts, new_connection=False)
    connection.start(ResponseParser(), b"GET / HTTP/1.1\r\n\r\n", b"")
    try:
        await connection.wait_for_head()
        async for _ in iterate(connection):
            pass
    finally:
        pool.give_back(connection, origin)


async def test_a_place_is_given_in_the_order_of_asking(pool: Any, listen: Listen) -> None:
    server = Server()
    origin = Origin("127.0.0.1", await listen(server), False)
    made = pool(2)
    served: list[int] = []

    async def work(number: int) -> None:
        await use(made, origin)
        served.append(number)

    await asyncio.gather(*(work(number) for number in range(20)))
    assert sorted(served) == list(range(20))
    assert all(abs(place - number) <= 2 for place, number in enumerate(served))
    assert server.connections == 2


async def test_a_request_that_gives_up_waiting_takes_no_place(pool: Any, listen: Listen) -> None:
    server = Server()
    server.ready.clear()
    origin = Origin("127.0.0.1", await listen(server), False)
    made = pool(1)
    first = asyncio.create_task(use(made, origin))
    await server.until_open(1)
    with pytest.raises(TimedOut) as failure:
        await use(made, origin, Timeouts(pool=0.01))
    assert failure.value.phase == "pool"
    second = asyncio.create_task(use(made, origin))
    await asyncio.sleep(0)
    second.cancel()
    server.ready.set()
    await first
    await use(made, origin)
    assert server.connections == 1


async def test_an_idle_connection_makes_room_for_another_origin(pool: Any, listen: Listen) -> None:
    servers = [Server() for _ in range(3)]
    origins = [Origin("127.0.0.1", await listen(server), False) for server in servers]
    made = pool(2)
    for origin in origins:
        await use(made, origin)
    await servers[0].until_open(0)
    assert [server.open for server in servers] == [0, 1, 1]
    await use(made, origins[2])
    assert servers[2].connections == 1


async def test_an_idle_connection_is_closed_after_a_while(
    pool: Any, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgi_llmgate.net.native.pool.KEEP_IDLE", 0.02)
    assert KEEP_IDLE < 30  # seconds after which load balancers forget a connection
    server = Server()
    made = pool(5)
    origin = Origin("127.0.0.1", await listen(server), False)
    await asyncio.gather(*(use(made, origin) for _ in range(3)))
    await server.until_open(0)
    await use(made, origin)
    assert server.connections == 4


async def test_a_connection_that_its_server_closes_is_not_kept(pool: Any, listen: Listen) -> None:
    closing = asyncio.Event()

    async def serve(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await closing.wait()

    made = pool(5)
    origin = Origin("127.0.0.1", await listen(serve), False)
    await use(made, origin)
    closing.set()
    async with asyncio.timeout(2):
        while made._origins:
            await asyncio.sleep(0.001)
    assert made._idle == {}


@pytest.mark.parametrize("large", [False, True], ids=["small request", "large request"])
async def test_wherever_a_request_is_cancelled_nothing_stays(listen: Listen, large: bool) -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.rpartition(b": ")[2]))
            for piece in (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"2\r\nok\r\n", b"0\r\n\r\n"):
                writer.write(piece)
                await asyncio.sleep(0)

    client = HTTPClient(transport="native", proxy="none", limit=2)
    url = httpx.URL(f"http://localhost:{await listen(serve)}/")
    content = bytes(600_000) if large else b"{}"

    async def work() -> bytes:
        async with await client.open("POST", url, [], content, Timeouts(pool=1)) as response:
            return await response.read(10)

    cancelled = 0
    for turns in range(60):
        task = asyncio.create_task(work())
        for _ in range(turns):
            await asyncio.sleep(0 if turns % 2 else 0.0002)
        task.cancel()
        try:
            assert await task == b"ok"
        except asyncio.CancelledError:
            cancelled += 1
    assert cancelled > 3
    transport: Any = client._transports.get()
    assert (len(transport._pool._busy), transport._pool._connecting, transport._pool._places._value) == (0, 0, 2)
    assert await work() == b"ok"
    await client.aclose()
