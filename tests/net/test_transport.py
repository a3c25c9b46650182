"""Each way to fail, made by a real server, through the transports that people use: what is raised is the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from asgi_llmgate.errors import Broken, ConnectionRefused, GateError, MaybeSent, NotSent, TimedOut, Unreachable
from asgi_llmgate.net import HTTPClient, Timeouts
from tests.helpers.wire_server import reset

Listen = Callable[..., Awaitable[int]]
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter

BODY = b'{"model":"m"}'
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(params=["native", "aiohttp", "httpcore"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[HTTPClient]:
    made = HTTPClient(
        transport=httpx.AsyncHTTPTransport if request.param == "httpcore" else request.param, proxy="none"
    )
    yield made
    await made.aclose()


async def post(client: HTTPClient, url: str, **timeouts: Any) -> bytes:
    answer = await client.open("POST", httpx.URL(url), [], BODY, Timeouts(**timeouts))
    async with answer:
        return await answer.read(1000)


async def read_request(reader: Reader) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(len(BODY))


async def close_at_once(reader: Reader, writer: Writer) -> None:
    pass


async def read_and_close(reader: Reader, writer: Writer) -> None:
    await read_request(reader)


async def read_and_reset(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    reset(writer)


async def cut_the_head(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(HEAD[:30])


async def cut_a_chunk(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(HEAD + b"5\r\nhel")


async def cut_between_chunks(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(HEAD + b"5\r\nhello\r\n")


async def cut_a_length(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello")


async def stall(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    await reader.read()


async def stall_after_head(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(HEAD)
    await reader.read()


async def stall_in_body(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(HEAD + b"5\r\nhello\r\n")
    await reader.read()


async def drip(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(HEAD)
    while not reader.at_eof():
        writer.write(b"1\r\nx\r\n")
        await writer.drain()
        await asyncio.sleep(0.002)


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        pytest.param(read_and_close, MaybeSent, id="reads the whole request and closes"),
        pytest.param(read_and_reset, MaybeSent, id="reads the whole request and resets"),
        pytest.param(cut_the_head, MaybeSent, id="cuts the head"),
        pytest.param(close_at_once, MaybeSent, id="accepts and closes"),
        pytest.param(cut_a_chunk, Broken, id="cuts a chunk"),
        pytest.param(cut_between_chunks, Broken, id="leaves out the last chunk"),
        pytest.param(cut_a_length, Broken, id="sends less than its content-length"),
    ],
)
async def test_a_lost_connection_says_whether_the_request_can_have_been_read(
    client: HTTPClient, listen: Listen, server: Any, expected: type[GateError]
) -> None:
    port = await listen(server)
    with pytest.raises(expected) as failure:
        await post(client, f"http://127.0.0.1:{port}/")
    assert type(failure.value) is expected


async def test_a_refused_connection_is_refused(client: HTTPClient, closed_port: int) -> None:
    with pytest.raises(ConnectionRefused) as failure:
        await post(client, f"http://127.0.0.1:{closed_port}/")
    assert str(closed_port) not in failure.value.message


async def test_a_name_without_an_address_is_unreachable(client: HTTPClient) -> None:
    with pytest.raises(Unreachable) as failure:
        await post(client, "http://model.invalid/")
    assert "name" in failure.value.message
    assert "model.invalid" not in failure.value.message


async def test_tls_to_a_server_that_speaks_none_is_unreachable(client: HTTPClient, listen: Listen) -> None:
    async def plain(reader: Reader, writer: Writer) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with pytest.raises(Unreachable) as failure:
        await post(client, f"https://127.0.0.1:{await listen(plain)}/")
    assert "127.0.0.1" not in failure.value.message


async def test_a_server_that_closes_during_the_tls_handshake_is_unreachable(client: HTTPClient, listen: Listen) -> None:
    with pytest.raises(Unreachable):
        await post(client, f"https://127.0.0.1:{await listen(close_at_once)}/")


async def test_a_url_of_another_scheme_is_not_sent(client: HTTPClient) -> None:
    with pytest.raises(NotSent):
        await post(client, "ftp://127.0.0.1/")


@pytest.mark.parametrize(
    ("server", "timeouts", "phase"),
    [
        pytest.param(stall, {"first_byte": 0.02}, "first_byte", id="before the head"),
        pytest.param(stall_after_head, {"first_byte": 0.02}, "first_byte", id="after the head, before the body"),
        pytest.param(stall_in_body, {"first_byte": 0.5, "idle": 0.02}, "idle", id="in the body"),
        pytest.param(stall, {"total": 0.02}, "total", id="in all, before the head"),
        pytest.param(drip, {"idle": 0.5, "total": 0.02}, "total", id="in all, while bytes come"),
    ],
)
async def test_each_wait_is_bounded_and_says_for_what(
    client: HTTPClient, listen: Listen, server: Any, timeouts: dict[str, float], phase: str
) -> None:
    port = await listen(server)
    with pytest.raises(TimedOut) as failure:
        await post(client, f"http://127.0.0.1:{port}/", **timeouts)
    assert failure.value.phase == phase


async def test_a_tls_handshake_that_does_not_end_is_a_connect_timeout(client: HTTPClient, listen: Listen) -> None:
    async def silent(reader: Reader, writer: Writer) -> None:
        await reader.read(-1)

    with pytest.raises(TimedOut) as failure:
        await post(client, f"https://127.0.0.1:{await listen(silent)}/", connect=0.02)
    assert failure.value.phase == "connect"


@pytest.mark.usefixtures("own_transport")
async def test_a_full_pool_is_a_pool_timeout(listen: Listen) -> None:
    client = HTTPClient(proxy="none", limit=1)
    url = httpx.URL(f"http://127.0.0.1:{await listen(stall_in_body)}/")
    answer = await client.open("POST", url, [], BODY, Timeouts())
    with pytest.raises(TimedOut) as failure:
        await client.open("POST", url, [], BODY, Timeouts(connect=0.01, pool=0.01))
    assert failure.value.phase == "pool"
    await answer.aclose()
    await client.aclose()


@pytest.mark.usefixtures("own_transport")
async def test_what_does_not_speak_http_is_broken(listen: Listen) -> None:
    async def greet(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(b"220 mail.corp.internal ESMTP\r\n\r\n")

    client = HTTPClient(proxy="none")
    with pytest.raises(Broken) as failure:
        await post(client, f"http://127.0.0.1:{await listen(greet)}/")
    assert "corp.internal" not in failure.value.message + failure.value.detail
    await client.aclose()


@pytest.mark.usefixtures("own_transport")
async def test_a_lost_connection_says_whether_it_was_a_reused_one(listen: Listen) -> None:
    async def answer_once(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await read_request(reader)

    client = HTTPClient(proxy="none")
    url = f"http://127.0.0.1:{await listen(answer_once)}/"
    assert await post(client, url) == b"ok"
    with pytest.raises(MaybeSent) as reused:
        await post(client, url)
    with pytest.raises(MaybeSent) as fresh:
        await post(client, f"http://127.0.0.1:{await listen(read_and_close)}/")
    assert (reused.value.reused, fresh.value.reused) == (True, False)
    await client.aclose()


async def test_a_defect_in_a_transport_is_not_taken_for_the_networks_fault() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError):
        await HTTPClient(transport=httpx.MockTransport(handler)).fetch("http://model.test/")
