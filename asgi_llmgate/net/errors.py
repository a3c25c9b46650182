"""What went wrong on the way to an upstream, in the words of our error tree.

What matters for another try is whether the request can have been read.  The exception's type does not tell:
httpx-aiohttp raises httpx.ConnectTimeout for a refused connection, for an unknown name and for a server that read the
whole POST and died.  aiohttp's own exception behind it does, so `__cause__` is asked first; httpx's types count for the
transports that raise them themselves (httpx.AsyncHTTPTransport, httpx.MockTransport).

Messages are for the caller and name no host.  `detail` does, for the operator, but quotes nothing that a server sent.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import aiohttp
import httpx

from asgi_llmgate.errors import Broken, ConnectionRefused, MaybeSent, Phase, Unreachable, UpstreamError
from asgi_llmgate.net.deadline import timed_out
from asgi_llmgate.net.transport import is_new_connection

ERRORS = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError)
"""What a transport may raise for the network's faults; anything else is a defect and is not caught."""

READ_ERRORS = (*ERRORS, RuntimeError)
"""The same for reading an answer: RuntimeError is aiohttp's word for a connection that was closed under the reader."""

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

_TELLING = (aiohttp.ClientConnectorError, httpx.ConnectError)
"""Their texts are a host, a port and the system's words.  Others quote a whole URL, or what a proxy says."""

_UNREACHABLE: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((aiohttp.ClientProxyConnectionError,), "the proxy cannot be reached"),
    ((aiohttp.ClientHttpProxyError, httpx.ProxyError), "the proxy refused to connect"),
    ((socket.gaierror, aiohttp.ClientConnectorDNSError), "the upstream's name cannot be resolved"),
    ((ssl.SSLCertVerificationError,), "the upstream's certificate is not trusted"),
    ((ssl.SSLError,), "the TLS handshake with the upstream failed"),
)


def before_answer(error: Exception) -> UpstreamError:
    """For what was raised before the head of an answer had come."""
    cause = _cause(error)
    dialled = is_new_connection(cause)
    name = type(cause).__name__
    if isinstance(cause, _TIMEOUTS):
        return timed_out(_phase(cause, dialled), name)
    if isinstance(cause, _NOT_SENT):
        return _not_sent(cause)
    if isinstance(cause, aiohttp.ClientResponseError):
        return Broken("the upstream does not answer in HTTP", detail=name)
    return MaybeSent("the upstream closed the connection without an answer", detail=name, reused=dialled is False)


def in_answer(error: Exception) -> UpstreamError:
    """For what was raised while the body of an answer was read."""
    cause = _cause(error)
    name = type(cause).__name__
    if isinstance(cause, _TIMEOUTS):
        return timed_out("idle", name)
    if isinstance(cause, httpx.DecodingError):
        return Broken("the upstream's answer is not encoded as it says", detail=name)
    return Broken("the upstream's answer was cut off", detail=name)


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
    links = tuple(_chain(cause))
    detail = type(cause).__name__
    if isinstance(cause, aiohttp.ClientHttpProxyError):
        detail += f": {cause.status}"
    elif isinstance(cause, _TELLING):
        detail += f": {cause}"
    for kinds, message in _UNREACHABLE:
        if any(isinstance(link, kinds) for link in links):
            return Unreachable(message, detail=detail)
    if any(isinstance(link, ConnectionRefusedError) for link in links):
        return ConnectionRefused("the upstream refused the connection", detail=detail)
    return Unreachable("the upstream cannot be reached", detail=detail)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
