"""The default transport: httpx-aiohttp's, over an aiohttp session that is made here.

aiohttp's connection pool and its C parser take a fifth of the time of httpcore's per request; the interface stays
httpx's. The proxies are chosen here as well (net/proxies.py), because httpx-aiohttp as a transport ignores those of the
environment.
"""

from __future__ import annotations

import ssl
from base64 import b64encode
from types import SimpleNamespace

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from asgi_llmgate.net.proxies import Proxies


class SharedTransport(httpx.AsyncBaseTransport):
    """One connection pool, and for each host a transport: direct, or through a proxy.  Belongs to one event loop."""

    def __init__(self, *, tls: ssl.SSLContext, proxies: Proxies, limit: int) -> None:
        self._proxies = proxies
        self._tls = tls
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=limit),  # aiohttp's default is 100 connections
            # The default jar would send one caller's cookies with another caller's request.
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),
            auto_decompress=False,
            # True would also send credentials that are in ~/.netrc.
            trust_env=False,
            trace_configs=[_trace()],
        )
        self._by_proxy: dict[str | None, AiohttpTransport] = {}
        self._by_host: dict[tuple[str, bytes], AiohttpTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        host = (url.scheme, url.netloc)
        transport = self._by_host.get(host)
        if transport is None:
            transport = self._by_host[host] = self._transport(self._proxies.for_url(url))
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        await self._session.close()

    def _transport(self, proxy: str | None) -> AiohttpTransport:
        if proxy not in self._by_proxy:
            self._by_proxy[proxy] = AiohttpTransport(
                client=self._session, verify=self._tls, proxy=_with_credentials(proxy) if proxy else None
            )
        return self._by_proxy[proxy]


def _trace() -> aiohttp.TraceConfig:
    """Marks the exceptions of requests for `is_new_connection`."""
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(_note_new_connection)
    trace.on_request_exception.append(_mark)
    return trace


async def _note_new_connection(
    session: aiohttp.ClientSession, request: SimpleNamespace, parameters: aiohttp.TraceConnectionCreateStartParams
) -> None:
    request.is_new_connection = True


async def _mark(
    session: aiohttp.ClientSession, request: SimpleNamespace, parameters: aiohttp.TraceRequestExceptionParams
) -> None:
    setattr(parameters.exception, _MARK, hasattr(request, "is_new_connection"))


_MARK = "llmgate_is_new_connection"


def is_new_connection(error: Exception) -> bool | None:
    """Whether a connection was being opened, or had been, for the request that raised this error of aiohttp.

    False: the connection had served an earlier request, or none had become free.  None: another transport's error.
    """
    found: bool | None = getattr(error, _MARK, None)
    return found


def _with_credentials(url: str) -> httpx.Proxy:
    """The proxy, with its user and password as a header."""
    proxy = httpx.Proxy(url)
    if proxy.raw_auth is None:
        return proxy
    # httpx-aiohttp would pass them in a way that aiohttp has deprecated.  aiohttp sends `authorization` of a proxy's
    # headers as `proxy-authorization`, with a tunnel and without.
    credentials = b64encode(b":".join(proxy.raw_auth))
    return httpx.Proxy(proxy.url, headers={b"authorization": b"Basic " + credentials})
