from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from asgi_llmgate.errors import Broken, Unreachable
from asgi_llmgate.net import HTTPClient, Timeouts

Listen = Callable[..., Awaitable[int]]
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter

pytestmark = pytest.mark.usefixtures("own_transport")

BODY = b'{"model":"m"}'
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture
async def client(own_transport: str) -> AsyncIterator[HTTPClient]:
    made = HTTPClient(proxy="none")
    yield made
    await made.aclose()


def mocked(handler: Callable[[httpx.Request], httpx.Response]) -> HTTPClient:
    return HTTPClient(transport=httpx.MockTransport(handler))


class Recorder:
    """Answers every request with `ok` and keeps the heads."""

    def __init__(self, answer: bytes = OK) -> None:
        self.heads: list[str] = []
        self.connections = 0
        self._answer = answer

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            length = [line for line in head.lower().split("\r\n") if line.startswith("content-length: ")]
            await reader.readexactly(int(length[0].split()[1]) if length else 0)
            writer.write(self._answer)

    def headers(self, index: int = -1) -> dict[str, str]:
        lines = self.heads[index].split("\r\n")[1:-2]
        pairs = [line.split(": ", 1) for line in lines]
        assert len({name.lower() for name, _ in pairs}) == len(pairs), "a header was sent twice"
        return {name.lower(): value for name, value in pairs}


class Endless:
    """Begins an answer that never ends, and says when the client has hung up."""

    def __init__(self, begin: bytes = CHUNKED + b"5\r\nhello\r\n") -> None:
        self.reached = asyncio.Event()
        self.closed = asyncio.Event()
        self._begin = begin

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n" + BODY)
        writer.write(self._begin)
        self.reached.set()
        assert await reader.read() == b""
        self.closed.set()


async def test_the_request_goes_out_as_given_and_asks_for_no_compression(client: HTTPClient, listen: Listen) -> None:
    server = Recorder()
    url = httpx.URL(f"http://127.0.0.1:{await listen(server)}/v1/chat/completions?api-version=1")
    headers = [(b"authorization", b"Bearer key"), (b"content-type", b"application/json")]
    async with await client.open("POST", url, headers, BODY, Timeouts()) as answer:
        assert (answer.status, await answer.read(2)) == (200, b"ok")
    sent = server.headers()
    assert server.heads[0].startswith("POST /v1/chat/completions?api-version=1 HTTP/1.1\r\n")
    assert sent["authorization"] == "Bearer key"
    assert sent["content-length"] == str(len(BODY))
    assert sent["accept-encoding"] == "identity"
    assert sent["user-agent"].startswith("asgi-llmgate/")


async def test_a_connection_is_used_again_and_no_cookie_is_kept(client: HTTPClient, listen: Listen) -> None:
    server = Recorder(b"HTTP/1.1 200 OK\r\nset-cookie: who=alice\r\ncontent-length: 2\r\n\r\nok")
    url = f"http://localhost:{await listen(server)}/"
    for _ in range(3):
        await client.fetch(url)
    assert server.connections == 1
    assert "cookie" not in server.headers()


async def test_chunks_come_as_the_network_gives_them(client: HTTPClient, listen: Listen) -> None:
    proceed = asyncio.Event()

    async def two(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED + b"5\r\nfirst\r\n")
        await proceed.wait()
        writer.write(b"6\r\nsecond\r\n0\r\n\r\n")
        await reader.read()

    url = httpx.URL(f"http://127.0.0.1:{await listen(two)}/")
    async with await client.open("GET", url, [], b"", Timeouts()) as answer:
        chunks = answer.chunks()
        assert await anext(chunks) == b"first"
        proceed.set()
        assert [chunk async for chunk in chunks] == [b"second"]


async def test_a_response_that_was_closed_gives_nothing_of_the_next_one(client: HTTPClient, listen: Listen) -> None:
    """Which came on the same connection, and may be another caller's."""
    server = Recorder(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret")
    url = httpx.URL(f"http://127.0.0.1:{await listen(server)}/")
    closed = await client.open("GET", url, [], b"", Timeouts())
    assert await closed.read(100) == b"secret"
    await closed.aclose()
    async with await client.open("GET", url, [], b"", Timeouts()) as response:
        assert [chunk async for chunk in closed] == []
        assert await response.read(100) == b"secret"
    assert server.connections == 1


async def test_redirects_are_not_followed(client: HTTPClient, listen: Listen) -> None:
    server = Recorder(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")
    fetched = await client.fetch(f"http://127.0.0.1:{await listen(server)}/")
    assert (fetched.status, len(server.heads)) == (302, 1)


async def test_an_answer_that_is_closed_early_closes_its_connection(client: HTTPClient, listen: Listen) -> None:
    server = Endless()
    url = httpx.URL(f"http://127.0.0.1:{await listen(server)}/")
    async with await client.open("POST", url, [], BODY, Timeouts()) as answer:
        assert await anext(answer.chunks()) == b"hello"
    async with asyncio.timeout(1):
        await server.closed.wait()


@pytest.mark.parametrize("begin", [b"", CHUNKED, CHUNKED + b"5\r\nhello\r\n"], ids=["head", "first byte", "next byte"])
async def test_a_cancelled_wait_closes_the_connection_at_once(client: HTTPClient, listen: Listen, begin: bytes) -> None:
    server = Endless(begin)
    url = httpx.URL(f"http://127.0.0.1:{await listen(server)}/")

    async def work() -> None:
        async with await client.open("POST", url, [], BODY, Timeouts()) as answer:
            await answer.read(100)

    task = asyncio.create_task(work())
    await server.reached.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(1):
        await server.closed.wait()


async def test_the_readers_own_time_is_not_the_upstreams_silence(client: HTTPClient, listen: Listen) -> None:
    server = Recorder(CHUNKED + b"5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n")
    url = httpx.URL(f"http://127.0.0.1:{await listen(server)}/")
    async with await client.open("GET", url, [], b"", Timeouts(first_byte=1, idle=0.02)) as answer:
        chunks = answer.chunks()
        seen = await anext(chunks)
        await asyncio.sleep(0.03)  # a client that reads slowly
        async for chunk in chunks:
            seen += chunk
        assert seen == b"firstsecond"


async def test_a_server_that_compresses_all_the_same_is_understood() -> None:
    client = mocked(lambda r: httpx.Response(200, headers={"content-encoding": "gzip"}, content=gzip.compress(b"{}")))
    assert (await client.fetch("http://idp.test/jwks")).body == b"{}"


async def test_what_is_not_compressed_as_it_says_is_broken() -> None:
    class Stream(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"not gzip"

    client = mocked(lambda r: httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Stream()))
    with pytest.raises(Broken):
        await client.fetch("http://idp.test/jwks")


async def test_a_fetch_is_bounded_in_bytes_also_where_they_unpack() -> None:
    class Stream(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield zlib.compress(bytes(100_000))

    client = mocked(lambda r: httpx.Response(200, headers={"content-encoding": "deflate"}, stream=Stream()))
    with pytest.raises(Broken):
        await client.fetch("http://idp.test/jwks", limit=99_999)
    assert len((await client.fetch("http://idp.test/jwks", limit=100_000)).body) == 100_000


async def test_fetched_headers_are_found_by_their_lower_case_names() -> None:
    fetched = await mocked(lambda r: httpx.Response(200, headers={"Cache-Control": "max-age=60"})).fetch(
        "http://a.test/"
    )
    assert fetched.headers["cache-control"] == "max-age=60"


@pytest.mark.parametrize("url", ["", "no url", "http://", "http://[", "http://a b/"])
async def test_a_fetch_of_what_is_no_url_is_unreachable(client: HTTPClient, url: str) -> None:
    with pytest.raises(Unreachable):
        await client.fetch(url)


async def test_closing_may_be_repeated_and_leaves_the_client_usable(client: HTTPClient, listen: Listen) -> None:
    server = Recorder()
    url = f"http://127.0.0.1:{await listen(server)}/"
    for _ in range(2):
        await client.fetch(url)
        await client.aclose()
        await client.aclose()
    assert server.connections == 2


async def test_closing_while_an_answer_is_read_breaks_it_and_nothing_else(client: HTTPClient, listen: Listen) -> None:
    url = httpx.URL(f"http://127.0.0.1:{await listen(Endless())}/")
    async with await client.open("POST", url, [], BODY, Timeouts()) as answer:
        chunks = answer.chunks()
        await anext(chunks)
        await client.aclose()
        with pytest.raises(Broken):
            await anext(chunks)


@pytest.mark.parametrize("failing", [False, True], ids=["closed", "failed"])
async def test_a_request_that_is_over_leaves_no_timer_behind(failing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[asyncio.TimerHandle] = []

    def keeping_call_at(*given: Any, **options: Any) -> asyncio.TimerHandle:
        timers.append(call_at(*given, **options))
        return timers[-1]

    def handler(request: httpx.Request) -> httpx.Response:
        if failing:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, content=b"ok")

    loop = asyncio.get_running_loop()
    call_at: Any = loop.call_at
    monkeypatch.setattr(loop, "call_at", keeping_call_at)
    with contextlib.suppress(Unreachable):
        await mocked(handler).fetch("http://model.test/")
    assert timers
    assert all(timer.cancelled() for timer in timers)


async def test_a_borrowed_transport_is_not_closed_and_a_factorys_is() -> None:
    class Transport(httpx.MockTransport):
        closed = 0

        async def aclose(self) -> None:
            self.closed += 1

    transport = Transport(lambda request: httpx.Response(204))
    for given in (transport, lambda: transport):
        client = HTTPClient(transport=given)
        await client.fetch("http://model.test/")
        await client.aclose()
    assert transport.closed == 1


def test_each_event_loop_gets_its_own_connections(serve: Callable[..., str]) -> None:
    async def app(scope: dict[str, str], receive: Callable[..., object], send: Callable[..., Awaitable[None]]) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

    url = serve(app)
    client = HTTPClient(proxy="none")

    async def once() -> int:
        status = (await client.fetch(url)).status
        await client.aclose()
        return status

    assert [asyncio.run(once()) for _ in range(3)] == [204, 204, 204]
