"""The transport `aiohttp`: that of httpx-aiohttp, over an aiohttp session that is made here.

aiohttp's connection pool and its C parser take a fifth of the time of httpcore's per request; the interface stays
httpx's. The proxies are chosen here as well (net/proxies.py), because httpx-aiohttp as a transport ignores those of the
environment.
"""

from __future__ import annotations

import ssl
from base64 import b64encode
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from asgi_llmgate.net.proxies import Proxies

NEW_CONNECTION = "asgi_llmgate.new_connection"
"""The extension of a request that must not use a connection of the pool.  Other transports ignore it."""

MAX_HEADER = 64 * 1024
"""Bytes of one header, or of the status line, of a response.  aiohttp's default of 8,190 is less than some policies for
browsers need (aio-libs/aiohttp#2304)."""

MAX_HEADERS = 256
"""Headers of a response."""


class SharedTransport(httpx.AsyncBaseTransport):
    """A connection pool, and for each host a transport: direct, or through a proxy.  Belongs to one event loop.

    A request with the extension NEW_CONNECTION gets a connection of its own, which is closed afterwards: aiohttp's pool
    cannot be told to leave out a connection, and the next one in it may be as dead as the last.
    """

    def __init__(self, *, tls: ssl.SSLContext, proxies: Proxies, limit: int) -> None:
        self._proxies = proxies
        self._tls = tls
        self._limit = limit
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._by_proxy: dict[tuple[str | None, bool], AiohttpTransport] = {}
        self._by_host: dict[tuple[str, bytes, bool], AiohttpTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        host = (url.scheme, url.netloc, NEW_CONNECTION in request.extensions)
        transport = self._by_host.get(host)
        if transport is None:
            transport = self._by_host[host] = self._transport(self._proxies.for_url(url), host[-1])
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        for session in self._sessions.values():
            await session.close()

    def _transport(self, proxy: str | None, is_new: bool) -> AiohttpTransport:
        if (proxy, is_new) not in self._by_proxy:
            if is_new not in self._sessions:
                self._sessions[is_new] = self._session(force_close=is_new)
            self._by_proxy[proxy, is_new] = AiohttpTransport(
                client=self._sessions[is_new],
                verify=self._tls,
                proxy=_with_credentials(proxy) if proxy else None,
            )
        return self._by_proxy[proxy, is_new]

    def _session(self, *, force_close: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # aiohttp's default is 100 connections
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=self._limit, force_close=force_close),
            # The default jar would send one caller's cookies with another caller's request.
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),
            auto_decompress=False,
            # True would also send credentials that are in ~/.netrc.
            trust_env=False,
            trace_configs=[_trace()],
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
            response_class=_Response,
        )


class _Response(aiohttp.ClientResponse):
    """A response without its reason phrase, which nothing reads; httpx-aiohttp fails on one that is not UTF-8."""

    async def start(self, connection: Any) -> _Response:
        await super().start(connection)
        self.reason = None
        return self


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


def has_begun(error: Exception) -> bool:
    """Whether a part of a response had arrived when its server closed the connection."""
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


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
