"""What is written for a request, and to whom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from asgi_llmgate.errors import Unreachable
from asgi_llmgate.net import HTTPClient, Timeouts
from asgi_llmgate.net.native.transport import parse_proxy
from asgi_llmgate.secret_values import Secret

Listen = Callable[..., Awaitable[int]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Recorder:
    def __init__(self) -> None:
        self.heads: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)


async def head_of(listen: Listen, path: str = "/", **request: Any) -> list[str]:
    server = Recorder()
    port = await listen(server)
    client = HTTPClient(transport="native", proxy="none")
    url = httpx.URL(f"http://127.0.0.1:{port}{path}")
    given = {"method": "POST", "headers": [], "content": b"", **request}
    async with await client.open(given["method"], url, given["headers"], given["content"], Timeouts()):
        pass
    await client.aclose()
    return server.heads[0].decode("latin-1").replace(f":{port}", ":PORT").split("\r\n")[:-2]


async def test_a_request_is_its_line_its_host_its_headers_and_its_length(listen: Listen) -> None:
    headers = [(b"x-a", b"1"), (b"authorization", Secret("Bearer k"))]
    line, host, agent, encoding, *rest = await head_of(listen, "/v1/a%20b?q=1", headers=headers, content=b"{}")
    assert (line, host) == ("POST /v1/a%20b?q=1 HTTP/1.1", "host: 127.0.0.1:PORT")
    assert agent.startswith("user-agent: asgi-llmgate/")
    assert [encoding, *rest] == ["accept-encoding: identity", "x-a: 1", "authorization: Bearer k", "content-length: 2"]


@pytest.mark.parametrize(
    ("method", "length"), [("POST", ["content-length: 0"]), ("PUT", ["content-length: 0"]), ("GET", []), ("DELETE", [])]
)
async def test_a_length_is_stated_where_a_body_could_be(listen: Listen, method: str, length: list[str]) -> None:
    head = await head_of(listen, method=method)
    assert [line for line in head if line.startswith("content-length")] == length


async def test_a_host_may_be_given_but_no_framing(listen: Listen) -> None:
    headers = [(b"host", b"model.test"), (b"content-length", b"99"), (b"transfer-encoding", b"chunked")]
    head = await head_of(listen, headers=headers, content=b"{}")
    assert [line for line in head if line.startswith(("host", "content-length", "transfer-encoding"))] == [
        "host: model.test",
        "content-length: 2",
    ]


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\0b"])
async def test_a_header_that_would_be_two_is_not_sent(listen: Listen, value: bytes) -> None:
    server = Recorder()
    client = HTTPClient(transport="native", proxy="none")
    url = httpx.URL(f"http://127.0.0.1:{await listen(server)}/")
    with pytest.raises(ValueError, match="characters that end it"):
        await client.open("POST", url, [(b"x", value)], b"", Timeouts())
    assert server.heads == []
    await client.aclose()


@pytest.mark.parametrize("url", ["ftp://model.test/", "http://", "/path", "model.test"])
async def test_a_url_without_a_host_or_of_another_scheme_is_unreachable(url: str) -> None:
    client = HTTPClient(transport="native", proxy="none")
    with pytest.raises(Unreachable):
        await client.open("POST", httpx.URL(url), [], b"", Timeouts())
    await client.aclose()


def test_credentials_of_a_proxy_are_a_header_and_in_no_repr() -> None:
    proxy = parse_proxy("http://user:pa%20ss@proxy.test")
    assert (proxy.host, proxy.port, proxy.is_tls) == ("proxy.test", 80, False)
    assert proxy.authorization is not None
    assert proxy.authorization.reveal() == "Basic dXNlcjpwYSBzcw=="
    assert "dXNlc" not in repr(proxy)
    assert parse_proxy("https://proxy.test:8443").authorization is None
