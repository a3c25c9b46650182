from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from asgi_llmgate.errors import NotSent, SettingsError, Unreachable
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.net.proxies import Proxies

Listen = Callable[..., Awaitable[int]]
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter

pytestmark = pytest.mark.usefixtures("own_transport")

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def answer_ok(reader: Reader, writer: Writer) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)


class Proxy:
    """Answers for every host, and keeps what it was asked."""

    def __init__(self, answer: bytes = OK) -> None:
        self.heads: list[bytes] = []
        self._answer = answer

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._answer)


async def fetch(client: HTTPClient, url: str) -> bytes:
    try:
        return (await client.fetch(url)).body
    finally:
        await client.aclose()


async def test_a_proxy_of_the_environment_is_used_unless_told_otherwise(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy()
    port, proxy_port = await listen(answer_ok), await listen(proxy)
    monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{proxy_port}")
    monkeypatch.setenv("NO_PROXY", f"127.0.0.1:{port}")
    assert await fetch(HTTPClient(), "http://model.invalid/v1") == b"ok"
    assert proxy.heads[0].startswith(b"GET http://model.invalid/v1 HTTP/1.1\r\n")
    assert b"proxy-authorization: basic dxnlcjpzzwnyzxq=" in proxy.heads[0].lower()
    assert await fetch(HTTPClient(), f"http://127.0.0.1:{port}/") == b"ok"
    with pytest.raises(Unreachable):
        await fetch(HTTPClient(proxy="none"), "http://model.invalid/v1")
    assert len(proxy.heads) == 1


async def test_a_proxy_that_is_named_is_used_for_every_host(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    proxy = Proxy()
    client = HTTPClient(proxy=f"http://127.0.0.1:{await listen(proxy)}")
    assert await fetch(client, "http://model.invalid/") == b"ok"


async def test_https_goes_through_a_tunnel_and_a_proxy_that_refuses_it_is_not_sent(listen: Listen) -> None:
    proxy = Proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
    client = HTTPClient(proxy=f"http://user:secret@127.0.0.1:{await listen(proxy)}")
    with pytest.raises(NotSent) as failure:
        await fetch(client, "https://model.invalid/")
    assert proxy.heads[0].startswith(b"CONNECT model.invalid:443 HTTP/1.1\r\n")
    assert b"proxy-authorization: basic dxnlcjpzzwnyzxq=" in proxy.heads[0].lower()
    assert "secret" not in failure.value.detail
    assert "proxy" in failure.value.message


async def test_a_proxy_that_is_down_is_named_as_the_fault(closed_port: int) -> None:
    with pytest.raises(NotSent) as failure:
        await fetch(HTTPClient(proxy=f"http://127.0.0.1:{closed_port}"), "http://model.invalid/")
    assert "proxy" in failure.value.message


async def test_netrc_is_not_read(listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine model.invalid login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    proxy = Proxy()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{await listen(proxy)}")
    await fetch(HTTPClient(), "http://model.invalid/")
    assert b"authorization" not in proxy.heads[0].lower()


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, "http://a.test/", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://a.test/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://a.test/", None),
        ({"https_proxy": "http://p:2"}, "https://a.test/", "http://p:2"),
        ({"ALL_PROXY": "http://p:3"}, "https://a.test/", "http://p:3"),
        ({"ALL_PROXY": "http://p:3", "NO_PROXY": "a.test"}, "https://a.test/", None),
        ({"ALL_PROXY": "http://p:3", "NO_PROXY": ".test"}, "https://a.test:8000/", None),
        ({"ALL_PROXY": "http://p:3", "NO_PROXY": "b.test, *.c"}, "https://a.test/", "http://p:3"),
        ({"ALL_PROXY": "http://p:3", "NO_PROXY": "*"}, "https://a.test/", None),
    ],
)
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, expected: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Proxies("env").for_url(httpx.URL(url)) == expected
    assert Proxies("none").for_url(httpx.URL(url)) is None


@pytest.mark.parametrize(
    "proxy",
    ["socks5://127.0.0.1:1080", "http://u:5ecret@p:99999", "http://u:5ecret@p:a", "http://u:5ecret@[::1", "http://"],
)
def test_a_proxy_that_cannot_be_used_is_found_at_start_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    with pytest.raises(SettingsError, match=r"^proxy: ") as failure:
        HTTPClient(proxy=proxy)
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(SettingsError, match=r"^proxy: "):
        HTTPClient()
    assert "5ecret" not in str(failure.value)
