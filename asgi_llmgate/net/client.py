"""The HTTP client for model servers, key sets and token endpoints.

It calls an httpx transport, which users can replace by one of their own, and in tests by `httpx.MockTransport`.
"""
# There is no httpx.AsyncClient in between: what it adds (cookies, redirects, authentication flows, decoding) is not
# wanted here, and takes longer than the rest of a request.
#
# httpx and aiohttp, 160 modules, are imported by the first request and not with this module: what only checks tokens,
# or only builds a gateway, does without.  `Gateway.startup` imports them before the first request comes.

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from asgi_llmgate._version import __version__
from asgi_llmgate.concurrency.per_loop import PerLoop
from asgi_llmgate.errors import GateError, MaybeSent
from asgi_llmgate.net.credentials import unavailable
from asgi_llmgate.net.deadline import Deadline, Timeouts
from asgi_llmgate.net.headers import NOT_A_HEADER_VALUE, is_header_value
from asgi_llmgate.net.proxies import Proxies
from asgi_llmgate.net.response import HTTPResponse
from asgi_llmgate.net.tls import tls_context
from asgi_llmgate.secret_values import Secret

if TYPE_CHECKING:
    import httpx

RawHeaders = Iterable[tuple[bytes, bytes | Secret]]
"""Names and values; a value that must not be shown is a Secret until the httpx request is made."""

Content = bytes | Secret

log = logging.getLogger("llmgate")

_MAX_ERROR_BODY = 1_000_000
"""Bytes that `fetch` reads of an error response at most, even with a larger limit."""

_DEFAULT_HEADERS = [(b"user-agent", f"asgi-llmgate/{__version__}".encode()), (b"accept-encoding", b"identity")]


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

    transport    an httpx transport, which is borrowed and never closed; or a function that makes one, which is called
                 once per event loop.  The other settings are those of the default transport
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
        transport: httpx.AsyncBaseTransport | Callable[[], httpx.AsyncBaseTransport] | None = None,
        proxy: str = "env",
        ca_file: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        limit: int = 1000,
    ) -> None:
        self._transports: PerLoop[httpx.AsyncBaseTransport]
        if transport is None:
            self._transports = PerLoop(_default(proxy, ca_file, client_cert, client_key, limit), _close)
            return
        import httpx

        if isinstance(transport, httpx.AsyncBaseTransport):
            borrowed = transport
            self._transports = PerLoop(lambda: borrowed, _leave_open)
        else:
            self._transports = PerLoop(transport, _close)

    async def open(
        self,
        method: str,
        url: httpx.URL,
        headers: RawHeaders,
        content: Content,
        timeouts: Timeouts,
        *,
        new_connection: bool = False,
    ) -> HTTPResponse:
        """Send a request and return the response when its head has arrived.  The response must be closed.

        With `new_connection` the default transport uses no connection of its pool: for the second send of a request
        after a MaybeSent that says `reused`.

        Raises ConnectionRefused, Unreachable, MaybeSent, TimedOut, Broken, and CredentialUnavailable for a Secret that
        a header cannot contain.  If it is cancelled, it closes the connection at once.
        """
        transport = self._transports.get()
        deadline = Deadline(timeouts)
        try:
            with deadline:
                response = await transport.handle_async_request(
                    _request(method, url, headers, content, timeouts, new_connection)
                )
        except Exception as error:
            deadline.close()
            from asgi_llmgate.net.errors import ERRORS, error_before_response

            # Raised below, outside of the handler, so that the traceback has no frame of the transport: secrets are
            # plain text there, and a traceback may be shown with its variables.
            failure = error_before_response(error) if isinstance(error, ERRORS) else _without_frames(error)
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
        import httpx

        timeouts = Timeouts(connect=timeout, pool=timeout, first_byte=timeout, idle=timeout, total=timeout)
        try:
            target = httpx.URL(url)
        except httpx.InvalidURL as error:
            from asgi_llmgate.net.errors import error_before_response

            raise error_before_response(error) from None
        send = partial(self.open, method, target, headers, content, timeouts)
        async with await send_again_if_stale(send) as response:
            is_success = 200 <= response.status < 300
            body = await (response.read(limit) if is_success else response.prefix(min(limit, _MAX_ERROR_BODY)))
            return Fetched(response.status, response.headers, body)

    async def aclose(self) -> None:
        """Close the connections of the running event loop.  The client can be used again afterwards."""
        await self._transports.aclose()


def _default(
    proxy: str, ca_file: str | None, client_cert: str | None, client_key: str | None, limit: int
) -> Callable[[], httpx.AsyncBaseTransport]:
    tls = tls_context(ca_file, client_cert, client_key)
    proxies = Proxies(proxy)

    def make() -> httpx.AsyncBaseTransport:
        from asgi_llmgate.net.transport import SharedTransport

        return SharedTransport(tls=tls, proxies=proxies, limit=limit)

    return make


async def _close(transport: httpx.AsyncBaseTransport) -> None:
    await transport.aclose()


async def _leave_open(transport: httpx.AsyncBaseTransport) -> None:
    """Does nothing: a borrowed transport is closed by its owner."""


def _request(
    method: str, url: httpx.URL, headers: RawHeaders, content: Content, timeouts: Timeouts, new_connection: bool
) -> httpx.Request:
    """The request for the transport.  Only here secrets become plain text.  Raises CredentialUnavailable."""
    import httpx

    return httpx.Request(
        method,
        url,
        headers=[*_DEFAULT_HEADERS, *((name, _reveal(value)) for name, value in headers)],
        content=content.reveal().encode() if isinstance(content, Secret) else content,
        extensions=_extensions(timeouts, new_connection),
    )


def _reveal(value: bytes | Secret) -> bytes:
    if not isinstance(value, Secret):
        return value
    if not is_header_value(value.reveal()):
        raise unavailable(NOT_A_HEADER_VALUE)
    return value.reveal().encode("latin-1")


def _without_frames(error: Exception) -> Exception:
    """The exception without traceback and causes, whose frames contain secrets.  The place of a defect is logged."""
    frames = traceback.extract_tb(error.__traceback__)
    if not isinstance(error, GateError) and frames:
        place = frames[-1]
        log.error("%s in the transport at %s:%s", type(error).__qualname__, place.filename, place.lineno)
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _extensions(timeouts: Timeouts, new_connection: bool) -> dict[str, Any]:
    # httpx-aiohttp's `pool` bounds connecting too.  `read` and `write` are bounded by the Deadline.
    pool = None if timeouts.pool is None or timeouts.connect is None else timeouts.pool + timeouts.connect
    found: dict[str, Any] = {"timeout": {"connect": timeouts.connect, "pool": pool, "read": None, "write": None}}
    if new_connection:
        from asgi_llmgate.net.transport import NEW_CONNECTION

        found[NEW_CONNECTION] = True
    return found
