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
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from asgi_llmgate.errors import SettingsError

if TYPE_CHECKING:
    from aiohttp.client import ClientTimeout
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.tracing import Trace

dialled: ContextVar[bool] = ContextVar("dialled", default=False)
"""Set by the connector when it opens a connection for the request of this context, and not when it reuses one."""


class SharedTransport(httpx.AsyncBaseTransport):
    """One connection pool, and the way that leads to each host: straight, or by a proxy.  Belongs to one event loop."""

    def __init__(self, *, tls: ssl.SSLContext, proxies: Proxies, limit: int) -> None:
        self._proxies = proxies
        self._tls = tls
        self._session = aiohttp.ClientSession(
            connector=_Connector(ssl=tls, limit=limit),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),
            auto_decompress=False,
            trust_env=False,
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


class _Connector(aiohttp.TCPConnector):
    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        dialled.set(True)
        return await super()._create_connection(req, traces, timeout)


class Proxies:
    """Which proxy leads to a URL.  `setting` is `env` (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, in either case,
    read now), `none`, or a proxy's URL, which then holds for every host."""

    def __init__(self, setting: str) -> None:
        self._fixed = None if setting in ("env", "none") else setting
        self._environment = getproxies_environment() if setting == "env" else {}
        for proxy in (self._fixed, *(self._environment.get(scheme) for scheme in ("http", "https", "all"))):
            if proxy and httpx.URL(proxy).scheme not in ("http", "https"):
                raise SettingsError(
                    "only http:// and https:// proxies are supported",
                    path="net.proxy",
                    hint="env, none, or a proxy's URL",
                )

    def for_url(self, url: httpx.URL) -> str | None:
        if self._fixed or not self._environment:
            return self._fixed
        if proxy_bypass_environment(url.netloc.decode("ascii"), self._environment):
            return None
        return self._environment.get(url.scheme) or self._environment.get("all")


def _with_credentials(url: str) -> httpx.Proxy:
    """The proxy, its user and password as a header: httpx-aiohttp would pass them in a way that aiohttp deprecates.

    aiohttp takes `authorization` among a proxy's headers and sends it as `proxy-authorization`, tunnel or not.
    """
    proxy = httpx.Proxy(url)
    if proxy.raw_auth is None:
        return proxy
    credentials = b64encode(b":".join(proxy.raw_auth))
    return httpx.Proxy(proxy.url, headers={b"authorization": b"Basic " + credentials})


@lru_cache
def tls_context(ca_file: str | None, client_cert: str | None, client_key: str | None) -> ssl.SSLContext:
    """Trusts what httpx trusts (certifi, or SSL_CERT_FILE), what the system trusts, and the authorities in `ca_file`.

    Shared by the clients of a process: reading the authorities takes tens of milliseconds.  Raises SettingsError for a
    file that cannot be used.
    """
    context = httpx.create_ssl_context()
    context.load_default_certs()
    try:
        if ca_file:
            context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"{ca_file} cannot be used: {error}", path="net.ca_file") from None
    try:
        if client_cert:
            context.load_cert_chain(client_cert, client_key, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise SettingsError(f"{client_cert} cannot be used: {error}", path="net.client_cert") from None
    return context


def _no_password() -> str:
    # Without this OpenSSL would ask for it on the terminal.
    raise ValueError("the key is encrypted; only keys without a password are supported")
