"""The HTTP client for model servers, key sets and token endpoints.

It sends requests by a Transport (net/transport.py): the gateway's own, aiohttp's, or any httpx transport, which users
can bring, and which in tests is `httpx.MockTransport`.
"""
# There is no httpx.AsyncClient in between: what it adds (cookies, redirects, authentication flows, decoding) is not
# wanted here, and takes longer than the rest of a request.
#
# The transport is imported by the first request and not with this module: what only checks tokens, or only builds a
# gateway, does without.  `Gateway.startup` imports it before the first request comes.

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from asgi_llmgate.concurrency.per_loop import PerLoop
from asgi_llmgate.errors import GateError, MaybeSent
from asgi_llmgate.net.deadline import Deadline, Timeouts
from asgi_llmgate.net.failures import unreachable
from asgi_llmgate.net.proxies import Proxies
from asgi_llmgate.net.request_url import RequestURL, parse_url
from asgi_llmgate.net.response import HTTPResponse
from asgi_llmgate.net.tls import TLS
from asgi_llmgate.net.transport import Content, RawHeaders, Request, Transport

if TYPE_CHECKING:
    import httpx

log = logging.getLogger("llmgate")

OwnTransport = Literal["native", "aiohttp"]
"""The transports that this package makes: net/native, and net/over_httpx with aiohttp."""

DEFAULT_TRANSPORT: OwnTransport = "native"

_MAX_ERROR_BODY = 1_000_000
"""Bytes that `fetch` reads of an error response at most, even with a larger limit."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole response.  `headers` have lower-case names.  The repr does not contain the body, which may be a token."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Fetch(Protocol):
    """The type of `HTTPClient.fetch`, so that tests can pass another function."""

    async def __call__(
        self,
        url: str,
        *,
        method: str = ...,
        headers: RawHeaders = ...,
        content: Content = ...,
        limit: int = ...,
        timeout: float = ...,
    ) -> Fetched: ...


T = TypeVar("T", covariant=True)


class Send(Protocol[T]):
    """One attempt; `new_connection` as in HTTPClient.open."""

    async def __call__(self, *, new_connection: bool) -> T: ...


async def send_again_if_stale(send: Send[T]) -> T:
    """What `send` returns. It is called again for a new connection where the first one was of the pool and broke before
    a byte came: servers close connections without notice, also such as they had announced to keep.

    A request is not sent again that broke on a new connection: the server may have read it, and it costs money.
    """
    try:
        return await send(new_connection=False)
    except MaybeSent as error:
        if not error.reused:
            raise
    return await send(new_connection=True)


class HTTPClient:
    """Sends requests over one connection pool per event loop.

    transport    `native` or `aiohttp`; or an httpx transport, which is borrowed and never closed; or a function that
                 makes one, which is called once per event loop.  The other settings are those of the first two
    proxy        `env`, `none`, or the URL of a proxy
    ca_file      a PEM file with authorities to trust in addition to the system's
    client_cert  a PEM file
    client_key   a PEM file
    limit        the number of connections

    Raises SettingsError for what cannot be used.
    """

    def __init__(
        self,
        *,
        transport: httpx.AsyncBaseTransport | Callable[[], httpx.AsyncBaseTransport] | OwnTransport | None = None,
        proxy: str = "env",
        ca_file: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        limit: int = 1000,
    ) -> None:
        self._tls: TLS | None = None
        if transport is None or isinstance(transport, str):
            self._tls = tls = TLS(ca_file, client_cert, client_key)
            is_native = (transport or DEFAULT_TRANSPORT) == "native"
            if not is_native:
                tls.make()  # aiohttp asks for it with each connection
            factory = partial(_native if is_native else _aiohttp, tls, Proxies(proxy), limit)
        else:
            is_native = False
            factory = partial(_users_own, transport)
        self._needs = f"asgi_llmgate.net.{'native.transport' if is_native else 'over_httpx.adapter'}"
        self._transports: PerLoop[Transport] = PerLoop(factory, _close)

    def prepare_tls(self) -> None:
        """Read the authorities now, where servers with TLS are certain to be asked: worker processes that are forked
        then share them."""
        if self._tls is not None:
            self._tls.make()

    def load(self) -> None:
        """Import what the first request needs, so that it does not take the time."""
        import_module(self._needs)

    async def open(
        self,
        method: str,
        url: RequestURL,
        headers: RawHeaders,
        content: Content,
        timeouts: Timeouts,
        *,
        new_connection: bool = False,
    ) -> HTTPResponse:
        """Send a request and return the response when its head has arrived.  The response must be closed.

        With `new_connection` the transports of this package use no connection of their pool: for the second send of a
        request after a MaybeSent that says `reused`.

        Raises ConnectionRefused, Unreachable, MaybeSent, TimedOut, Broken, and CredentialUnavailable for a Secret that
        a header cannot contain.  If it is cancelled, it closes the connection at once.
        """
        transport = self._transports.get()
        request = Request(method, url, headers, content, timeouts, new_connection)
        deadline = Deadline(timeouts)
        try:
            with deadline:
                request.check()
                response = await transport.send(request)
        except Exception as error:
            deadline.close()
            # Raised below, outside of the handler, so that the traceback has no frame of the transport: secrets are
            # plain text there, and a traceback may be shown with its variables.
            failure = _without_frames(error)
        except BaseException:
            deadline.close()
            raise
        else:
            return HTTPResponse(response, deadline)
        try:
            raise failure
        finally:
            del failure  # the exception refers to this frame, and this frame would refer to it: a cycle

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: RawHeaders = (),
        content: Content = b"",
        limit: int = 1_000_000,
        timeout: float = 5.0,
    ) -> Fetched:
        """Send a request and read the whole response: at most `limit` bytes, within `timeout` seconds.

        Of an error response, it returns the part of the body that has arrived.  Redirects are not followed.  A request
        that met a connection which the server had closed is sent again, on a new one.

        Raises what `open` raises, and nothing because of a status.
        """
        timeouts = Timeouts(connect=timeout, pool=timeout, first_byte=timeout, idle=timeout, total=timeout)
        try:
            target = parse_url(url)
        except ValueError:
            raise unreachable("the server cannot be reached", "InvalidURL") from None
        send = partial(self.open, method, target, headers, content, timeouts)
        async with await send_again_if_stale(send) as response:
            is_success = 200 <= response.status < 300
            body = await (response.read(limit) if is_success else response.prefix(min(limit, _MAX_ERROR_BODY)))
            return Fetched(response.status, response.headers, body)

    async def aclose(self) -> None:
        """Close the connections of the running event loop.  The client can be used again afterwards."""
        await self._transports.aclose()


def _native(tls: TLS, proxies: Proxies, limit: int) -> Transport:
    from asgi_llmgate.net.native.transport import NativeTransport

    return NativeTransport(tls=tls, proxies=proxies, limit=limit)


def _aiohttp(tls: TLS, proxies: Proxies, limit: int) -> Transport:
    from asgi_llmgate.net.over_httpx.adapter import HTTPXAdapter
    from asgi_llmgate.net.over_httpx.shared_transport import SharedTransport

    return HTTPXAdapter(SharedTransport(tls=tls.make(), proxies=proxies, limit=limit))


def _users_own(transport: httpx.AsyncBaseTransport | Callable[[], httpx.AsyncBaseTransport]) -> Transport:
    import httpx

    from asgi_llmgate.net.over_httpx.adapter import HTTPXAdapter

    if isinstance(transport, httpx.AsyncBaseTransport):
        return HTTPXAdapter(transport, borrowed=True)
    return HTTPXAdapter(transport())


async def _close(transport: Transport) -> None:
    await transport.aclose()


def _without_frames(error: Exception) -> Exception:
    """The exception without traceback and causes, whose frames contain secrets.  The place of a defect is logged."""
    frames = traceback.extract_tb(error.__traceback__)
    if not isinstance(error, GateError) and frames:
        place = frames[-1]
        log.error("%s in the transport at %s:%s", type(error).__qualname__, place.filename, place.lineno)
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
