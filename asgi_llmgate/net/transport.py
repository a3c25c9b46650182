"""The default transport: httpx-aiohttp's, over an aiohttp session of ours.

aiohttp's connection pool and its C parser cost a fifth of httpcore's per request, and httpx's interface stays the seam.
Its session is made here and not by the transport, because the defaults are a browser's: a cookie jar, which would carry
one caller's cookies into another's request, 100 connections, and transparent decompression.

Two more things are not left to it.  Called as a transport, httpx-aiohttp sees no proxy of the environment; and
aiohttp's own `trust_env` would also read ~/.netrc and send what it finds there as credentials.
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
    """One connection pool, and the way that leads to each host: straight, or by a proxy.  Belongs to one event loop."""

    def __init__(self, *, tls: ssl.SSLContext, proxies: Proxies, limit: int) -> None:
        self._proxies = proxies
        self._tls = tls
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=limit),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),
            auto_decompress=False,
            trust_env=False,
            trace_configs=[_trace()],
        )
        self._ways: dict[str | None, AiohttpTransport] = {}
        self._by_host: dict[tuple[str, bytes], AiohttpTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        host = (url.scheme, url.netloc)
        way = self._by_host.get(host)
        if way is None:
            way = self._by_host[host] = self._way(self._proxies.for_url(url))
        return await way.handle_async_request(request)

    async def aclose(self) -> None:
        await self._session.close()

    def _way(self, proxy: str | None) -> AiohttpTransport:
        if proxy not in self._ways:
            self._ways[proxy] = AiohttpTransport(
                client=self._session, verify=self._tls, proxy=_with_credentials(proxy) if proxy else None
            )
        return self._ways[proxy]


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
    """The proxy, its user and password as a header: httpx-aiohttp would pass them in a way that aiohttp deprecates.

    aiohttp takes `authorization` among a proxy's headers and sends it as `proxy-authorization`, tunnel or not.
    """
    proxy = httpx.Proxy(url)
    if proxy.raw_auth is None:
        return proxy
    credentials = b64encode(b":".join(proxy.raw_auth))
    return httpx.Proxy(proxy.url, headers={b"authorization": b"Basic " + credentials})
