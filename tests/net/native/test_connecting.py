"""Addresses, proxies and tunnels."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from asgi_llmgate.errors import ConnectionRefused, TimedOut, Unreachable
from asgi_llmgate.net import HTTPClient, Timeouts
from asgi_llmgate.net.native import connecting
from tests.helpers.certificates import self_signed

Listen = Callable[..., Awaitable[int]]
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def say_ok(reader: Reader, writer: Writer) -> None:
    while True:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)


async def fetch(client: HTTPClient, url: str, **timeouts: Any) -> bytes:
    try:
        async with await client.open("GET", httpx.URL(url), [], b"", Timeouts(**timeouts)) as response:
            return await response.read(100)
    finally:
        await client.aclose()


def native(**options: Any) -> HTTPClient:
    return HTTPClient(transport="native", **{"proxy": "none", **options})


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`resolves(*addresses)`: every name has these, each a host and a port."""

    def set_addresses(*places: tuple[str, int]) -> None:
        async def getaddrinfo(host: str, port: int, **options: Any) -> Any:
            families = [socket.AF_INET6 if ":" in place[0] else socket.AF_INET for place in places]
            return [(family, socket.SOCK_STREAM, 0, "", place) for family, place in zip(families, places, strict=True)]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)

    return set_addresses


async def test_the_next_address_is_tried_when_one_refuses(listen: Listen, closed_port: int, resolves: Any) -> None:
    port = await listen(say_ok)
    resolves(("127.0.0.1", closed_port), ("127.0.0.2", closed_port), ("127.0.0.1", port))
    assert await fetch(native(), "http://model.test/") == b"ok"


async def test_addresses_that_all_refuse_are_a_refusal(closed_port: int, resolves: Any) -> None:
    resolves(("::1", closed_port), ("127.0.0.1", closed_port))
    with pytest.raises(ConnectionRefused):
        await fetch(native(), "http://model.test/")


async def test_an_address_that_does_not_reply_holds_nobody_up(
    listen: Listen, resolves: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = await listen(say_ok)
    closed: list[str] = []
    attempt = connecting._attempt

    async def slow(loop: Any, address: Any) -> socket.socket:
        if address[4][0] == "127.0.0.2":
            try:
                await asyncio.Event().wait()
            finally:
                closed.append("given up")
        return await attempt(loop, address)

    monkeypatch.setattr(connecting, "_NEXT_ADDRESS", 0.01)
    monkeypatch.setattr(connecting, "_attempt", slow)
    resolves(("127.0.0.2", port), ("127.0.0.1", port))
    assert await fetch(native(), "http://model.test/") == b"ok"
    assert closed == ["given up"]


async def test_a_slower_winner_is_closed(listen: Listen, resolves: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    port = await listen(say_ok)
    made: list[socket.socket] = []
    both = asyncio.Barrier(2)
    attempt = connecting._attempt

    async def together(loop: Any, address: Any) -> socket.socket:
        made.append(sock := await attempt(loop, address))
        with suppress(asyncio.CancelledError):  # too late: it has a connection already
            await both.wait()
        return sock

    monkeypatch.setattr(connecting, "_NEXT_ADDRESS", 0.001)
    monkeypatch.setattr(connecting, "_attempt", together)
    resolves(("127.0.0.1", port), ("127.0.0.1", port))
    client = native()
    async with await client.open("GET", httpx.URL("http://model.test/"), [], b"", Timeouts()) as response:
        assert await response.read(9) == b"ok"
        await asyncio.sleep(0)
        assert sorted(sock.fileno() > 0 for sock in made) == [False, True]
    await client.aclose()


async def test_families_alternate(resolves: Any) -> None:
    resolves(("::1", 1), ("::2", 1), ("127.0.0.1", 1), ("127.0.0.2", 1), ("127.0.0.3", 1))
    found = await connecting._resolve(asyncio.get_running_loop(), "model.test", 1)
    assert [address[4][0] for address in found] == ["::1", "127.0.0.1", "::2", "127.0.0.2", "127.0.0.3"]


@pytest.mark.parametrize("host", ["a" * 70 + ".invalid", "a..b"])
async def test_what_is_no_host_name_is_unreachable(host: str) -> None:
    with pytest.raises(Unreachable) as failure:
        await fetch(native(), f"http://{host}/")
    assert failure.value.message == "the server's name cannot be resolved"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls") / "localhost.pem")


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


class Tunnel:
    """A proxy that leads every CONNECT to `port`, after `response`."""

    def __init__(self, port: int, response: bytes) -> None:
        self.heads: list[bytes] = []
        self._port = port
        self._response = response

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._response)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))


async def pump(reader: Reader, writer: Writer) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    finally:
        writer.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["200", "100, 200"])
async def test_a_tunnel_leads_to_the_host_also_from_a_proxy_with_tls(
    listen: Listen, certificate: Path, scheme: str, before: bytes
) -> None:
    port = await listen(say_ok, ssl=server_tls(certificate))
    proxy = Tunnel(port, before + b"HTTP/1.0 200 Connection established\r\nx: y\r\n\r\n")
    proxy_port = await listen(proxy, **({"ssl": server_tls(certificate)} if scheme == "https" else {}))
    client = native(proxy=f"{scheme}://user:pa%20ss@localhost:{proxy_port}", ca_file=str(certificate))
    for _ in range(2):
        async with await client.open("GET", httpx.URL("https://localhost/x"), [], b"", Timeouts()) as answer:
            assert await answer.read(9) == b"ok"
    await client.aclose()
    (head,) = proxy.heads
    assert head.startswith(b"CONNECT localhost:443 HTTP/1.1\r\nhost: localhost:443\r\n")
    assert b"proxy-authorization: Basic dXNlcjpwYSBzcw==\r\n" in head


@pytest.mark.parametrize(
    ("response", "message"),
    [
        pytest.param(b"HTTP/1.1 407 No\r\n\r\n", "the proxy refused to connect", id="407"),
        pytest.param(b"HTTP/1.1 301 Moved\r\nlocation: /\r\n\r\n", "the proxy refused to connect", id="301"),
        pytest.param(b"220 mail.test ESMTP\r\n", "the proxy refused to connect", id="no HTTP"),
        pytest.param(b"HTTP/1.1 2", "the proxy refused to connect", id="cut"),
        pytest.param(b"", "the proxy refused to connect", id="closed"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", "the server cannot be reached", id="closed after its response"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nno TLS at all", "the TLS handshake with the server failed", id="no TLS"),
    ],
)
async def test_a_tunnel_that_is_none_is_not_sent(listen: Listen, response: bytes, message: str) -> None:
    async def proxy(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head, end, rest = response.partition(b"\r\n\r\n")
        writer.write(head + end)
        if rest:
            await reader.read(1)  # the client's first words of TLS
            writer.write(rest)

    with pytest.raises(Unreachable) as failure:
        await fetch(native(proxy=f"http://127.0.0.1:{await listen(proxy)}"), "https://model.test/")
    assert failure.value.message == message


@pytest.mark.parametrize("response", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["to CONNECT", "to the handshake"])
async def test_a_proxy_that_does_not_reply_is_a_connect_timeout(listen: Listen, response: bytes) -> None:
    async def proxy(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response)
        await reader.read()

    client = native(proxy=f"http://127.0.0.1:{await listen(proxy)}")
    with pytest.raises(TimedOut) as failure:
        await fetch(client, "https://model.test/", connect=0.05)
    assert failure.value.phase == "connect"
