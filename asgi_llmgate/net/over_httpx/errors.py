"""Translates the exceptions of a transport to this package's errors.

The important difference is whether the server can have read the request: that decides whether it may be sent again.
"""
# httpx's exceptions do not make that difference: httpx-aiohttp raises httpx.ConnectTimeout for a refused connection,
# for an unknown name, and for a server that has read the whole POST and died.  aiohttp's exception behind it does, so
# `__cause__` is looked at first.  httpx's types are for transports that raise them themselves (AsyncHTTPTransport,
# MockTransport).

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import aiohttp
import httpx

from asgi_llmgate.errors import Phase, UpstreamError
from asgi_llmgate.net.deadline import timed_out
from asgi_llmgate.net.failures import cut_off, head_too_large, no_response, not_http, refused, unreachable, unreadable
from asgi_llmgate.net.over_httpx.shared_transport import has_begun, is_new_connection

ERRORS = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError)
"""What a transport may raise for a failure of the network.  Anything else is a defect and is not caught."""

READ_ERRORS = (*ERRORS, RuntimeError)
"""The same while a response is read; aiohttp raises RuntimeError when the connection is closed meanwhile."""

_TIMEOUTS = (httpx.TimeoutException, aiohttp.ServerTimeoutError)

_NOT_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    httpx.ConnectError,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)

_SAFE_TO_QUOTE = (aiohttp.ClientConnectorError, httpx.ConnectError)
"""Exceptions with only a host, a port and the system's message in their text; others quote URLs or a proxy's text."""

_TOO_LARGE = ("Got more than ", "Too many headers ")
"""How aiohttp's parser begins its message about a header over MAX_HEADER, or more than MAX_HEADERS of them."""

_UNREACHABLE: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((aiohttp.ClientProxyConnectionError,), "the proxy cannot be reached"),
    ((aiohttp.ClientHttpProxyError, httpx.ProxyError), "the proxy refused to connect"),
    ((socket.gaierror, aiohttp.ClientConnectorDNSError), "the server's name cannot be resolved"),
    ((ssl.SSLCertVerificationError,), "the server's certificate is not trusted"),
    ((ssl.SSLError,), "the TLS handshake with the server failed"),
)


def error_before_response(error: Exception) -> UpstreamError:
    """The error for an exception before the head of a response has arrived."""
    cause = _cause(error)
    dialled = is_new_connection(cause)
    name = type(cause).__name__
    if isinstance(cause, _TIMEOUTS):
        return timed_out(_phase(cause, dialled), name)
    if isinstance(cause, _NOT_SENT):
        return _not_sent(cause)
    if isinstance(cause, aiohttp.ClientResponseError):
        return head_too_large(name) if cause.message.startswith(_TOO_LARGE) else not_http(name)
    return no_response(name, reused=dialled is False and not has_begun(cause))


def error_in_response(error: Exception) -> UpstreamError:
    """The error for an exception while the body of a response is read."""
    cause = _cause(error)
    name = type(cause).__name__
    if isinstance(cause, _TIMEOUTS):
        return timed_out("idle", name)
    if isinstance(cause, httpx.DecodingError):
        return unreadable("the server's response is not encoded as its content-encoding says", name)
    return cut_off(name)


def _cause(error: Exception) -> Exception:
    behind = error.__cause__
    return behind if isinstance(behind, aiohttp.ClientError) else error


def _phase(cause: Exception, dialled: bool | None) -> Phase:
    if isinstance(cause, httpx.PoolTimeout) or (dialled is False and isinstance(cause, aiohttp.ConnectionTimeoutError)):
        return "pool"
    if isinstance(cause, (httpx.ConnectTimeout, aiohttp.ConnectionTimeoutError)):
        return "connect"
    return "first_byte"


def _not_sent(cause: Exception) -> UpstreamError:
    links = tuple(_causes(cause))
    detail = type(cause).__name__
    if isinstance(cause, aiohttp.ClientHttpProxyError):
        detail += f": {cause.status}"
    elif isinstance(cause, _SAFE_TO_QUOTE):
        detail += f": {cause}"
    for kinds, message in _UNREACHABLE:
        if any(isinstance(link, kinds) for link in links):
            return unreachable(message, detail)
    if any(isinstance(link, ConnectionRefusedError) for link in links):
        return refused(detail)
    return unreachable("the server cannot be reached", detail)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
