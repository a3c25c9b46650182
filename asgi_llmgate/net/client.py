"""The one HTTP client: for model servers, key sets, token endpoints.

It calls `httpx.AsyncBaseTransport.handle_async_request` and has no httpx.AsyncClient in between: what that adds
(cookies, redirects, authentication flows, decoding) is not wanted here, and costs more than the rest of a request.  The
transport is the seam: users put one of their own in its place, and `httpx.MockTransport` in their tests.

httpx and aiohttp, 160 modules, are imported by the first request and not with this module: what only checks tokens, or
only builds a gateway, does without.  `Gateway.startup` imports them before the first request comes.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from asgi_llmgate._version import __version__
from asgi_llmgate.concurrency.per_loop import PerLoop
from asgi_llmgate.errors import GateError
from asgi_llmgate.exchange import Secret
from asgi_llmgate.net.credentials import unavailable
from asgi_llmgate.net.deadline import Deadline, Timeouts
from asgi_llmgate.net.headers import UNSENDABLE, is_header_value
from asgi_llmgate.net.proxies import Proxies
from asgi_llmgate.net.response import HTTPResponse
from asgi_llmgate.net.tls import tls_context

if TYPE_CHECKING:
    import httpx

RawHeaders = Iterable[tuple[bytes, bytes | Secret]]
"""A value that nobody else may see is a Secret until the request is made."""

Content = bytes | Secret

log = logging.getLogger("llmgate")

_MOST_OF_A_REFUSAL = 1_000_000
"""Bytes that are waited for of an answer that is no success, however much its success may be."""

_OURS = [(b"user-agent", f"asgi-llmgate/{__version__}".encode()), (b"accept-encoding", b"identity")]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole answer.  `headers` are found by their lower-case names; the body may be a token, so no repr shows it."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Fetch(Protocol):
    """`HTTPClient.fetch`, for those who take a stand-in of it in tests."""

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


class HTTPClient:
    """`transport` is an httpx transport, which is only borrowed, or a factory of them, called once per event loop.

    The other settings are those of the default transport: `proxy` is `env`, `none` or a URL; `ca_file` is trusted
    besides the system's authorities; `client_cert` and `client_key` are PEM files; `limit` is the number of
    connections.  Raises SettingsError for what cannot be used.
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
        self, method: str, url: httpx.URL, headers: RawHeaders, content: Content, timeouts: Timeouts
    ) -> HTTPResponse:
        """Send a request; the answer, whose head is there and whose body is not, must be closed.

        Raises ConnectionRefused, Unreachable, MaybeSent, TimedOut, Broken, and CredentialUnavailable for a Secret that
        no header can hold.  Cancelled, it closes the connection at once.

        What is raised brings no frame of the transport along: secrets are plain there, and a traceback may be shown
        with its variables.
        """
        transport = self._transports.get()
        deadline = Deadline(timeouts)
        try:
            with deadline:
                response = await transport.handle_async_request(_request(method, url, headers, content, timeouts))
        except Exception as error:
            deadline.close()
            from asgi_llmgate.net.errors import ERRORS, before_answer

            failure = before_answer(error) if isinstance(error, ERRORS) else _without_frames(error)
        except BaseException:
            deadline.close()
            raise
        else:
            return HTTPResponse(response, deadline)
        try:
            raise failure
        finally:
            del failure  # it would hold this frame, and this frame it

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
        """A small answer, whole: at most `limit` bytes within `timeout` seconds; of one that is no success as much as
        has come.  Redirects are not followed.

        Raises what `open` raises; the status is for the caller to judge.
        """
        import httpx

        timeouts = Timeouts(connect=timeout, pool=timeout, first_byte=timeout, idle=timeout, total=timeout)
        try:
            target = httpx.URL(url)
        except httpx.InvalidURL as error:
            from asgi_llmgate.net.errors import before_answer

            raise before_answer(error) from None
        async with await self.open(method, target, headers, content, timeouts) as answer:
            is_success = 200 <= answer.status < 300
            body = await (answer.read(limit) if is_success else answer.prefix(min(limit, _MOST_OF_A_REFUSAL)))
            return Fetched(answer.status, answer.headers, body)

    async def aclose(self) -> None:
        """Close the connections of the running event loop.  May be repeated; the client may be used again."""
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
    """A borrowed transport is closed by whoever lent it."""


def _request(method: str, url: httpx.URL, headers: RawHeaders, content: Content, timeouts: Timeouts) -> httpx.Request:
    """The only place where secrets are plain.  Raises CredentialUnavailable."""
    import httpx

    return httpx.Request(
        method,
        url,
        headers=[*_OURS, *((name, _plain(value)) for name, value in headers)],
        content=content.reveal().encode() if isinstance(content, Secret) else content,
        extensions=_extensions(timeouts),
    )


def _plain(value: bytes | Secret) -> bytes:
    if not isinstance(value, Secret):
        return value
    if not is_header_value(value.reveal()):
        raise unavailable(UNSENDABLE)
    return value.reveal().encode("latin-1")


def _without_frames(error: Exception) -> Exception:
    """A defect of the transport, or an error of ours, without what has led to it; the log has the place of a defect."""
    frames = traceback.extract_tb(error.__traceback__)
    if not isinstance(error, GateError) and frames:
        place = frames[-1]
        log.error("%s in the transport at %s:%s", type(error).__qualname__, place.filename, place.lineno)
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _extensions(timeouts: Timeouts) -> dict[str, Any]:
    # httpx-aiohttp's `pool` bounds connecting too.  `read` and `write` are bounded by the Deadline.
    pool = None if timeouts.pool is None or timeouts.connect is None else timeouts.pool + timeouts.connect
    return {"timeout": {"connect": timeouts.connect, "pool": pool, "read": None, "write": None}}
