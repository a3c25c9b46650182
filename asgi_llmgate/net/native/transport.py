"""The requests of one event loop: which connection they take, what is written, what is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from asgi_llmgate.net.failures import unreachable
from asgi_llmgate.net.native.connecting import Origin, Proxy
from asgi_llmgate.net.native.connection import Connection
from asgi_llmgate.net.native.parser import ResponseParser
from asgi_llmgate.net.native.pool import Pool
from asgi_llmgate.net.proxies import Proxies
from asgi_llmgate.net.request_url import RequestURL
from asgi_llmgate.net.tls import TLS
from asgi_llmgate.net.transport import Request
from asgi_llmgate.net.urls import DEFAULT_PORTS, basic_authorization
from asgi_llmgate.secret_values import Secret

_MAX_TARGETS = 256
"""URLs that are kept in their written form; a gateway has a few for each backend."""

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
"""What this transport writes itself: it knows the body."""

_NO_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"})
"""Methods whose requests have no `content-length: 0` (RFC 9110 section 8.6)."""

_NOT_IN_A_LINE = re.compile(rb"[\r\n\0]")


@dataclass(frozen=True, slots=True)
class Target:
    """What is known of a URL once and for all.  `form` is what the request line has (RFC 9112 section 3.2)."""

    origin: Origin
    form: bytes
    host: bytes
    proxy_authorization: Secret | None = None


class NativeTransport:
    """Belongs to one event loop.  `limit` is the number of connections."""

    def __init__(self, *, tls: TLS, proxies: Proxies, limit: int) -> None:
        self._pool = Pool(tls=tls, limit=limit)
        self._proxies = proxies
        self._targets: dict[RequestURL, Target] = {}

    async def send(self, request: Request) -> NativeResponse:
        target = self._targets.get(request.url) or self._target(request.url)
        pool, origin = self._pool, target.origin
        connection = await pool.take(origin, request.timeouts, new_connection=request.new_connection)
        try:
            parser = ResponseParser(is_head=request.method == "HEAD")
            rest = _write(connection, parser, request, target)
            if rest is not None:
                await connection.upload(rest)
            await connection.wait_for_head()
        except BaseException:
            connection.abort()
            pool.give_back(connection, origin)
            raise
        return NativeResponse(parser, connection, pool, origin)

    async def aclose(self) -> None:
        self._pool.close()

    def _target(self, url: RequestURL) -> Target:
        host, port = url.raw_host.decode("ascii"), url.port or DEFAULT_PORTS.get(url.scheme, 0)
        if not host or not port:
            raise unreachable("the server cannot be reached", "the URL has no host, or its scheme is not http(s)")
        named = self._proxies.for_url(url)
        proxy = parse_proxy(named) if named else None
        is_tls = url.scheme == "https"
        form, authorization = url.raw_path, None
        if proxy is not None and not is_tls:
            form = b"%b://%b%b" % (url.scheme.encode(), url.netloc, form)
            authorization = proxy.authorization
            origin = Origin("", 0, False, proxy)  # one connection serves all hosts behind the proxy
        else:
            origin = Origin(host, port, is_tls, proxy)
        if len(self._targets) >= _MAX_TARGETS:
            self._targets.clear()
        target = self._targets[url] = Target(origin, form, url.netloc, authorization)
        return target


class NativeResponse:
    """A response whose head has arrived, as net/transport.py describes it."""

    __slots__ = ("_is_open", "_origin", "_pool", "body", "headers", "status")

    def __init__(self, parser: ResponseParser, connection: Connection, pool: Pool, origin: Origin) -> None:
        self.status = parser.status
        self.headers: Mapping[str, str] = parser.headers
        self.body = connection
        self._is_open = True
        self._pool = pool
        self._origin = origin

    async def aclose(self) -> None:
        # Where all has arrived, the connection can be used again, read or not.
        if self._is_open:
            self._is_open = False
            self._pool.give_back(self.body, self._origin)


def _write(connection: Connection, parser: ResponseParser, request: Request, target: Target) -> memoryview | None:
    """Begin to send.  Secrets are plain text here, so nothing waits in this function."""
    content = request.plain_content()
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), target.form)]
    has_host = False
    for name, value in request.plain_headers():
        has_host = has_host or name == b"host"
        if name not in _FRAMING:
            lines.append(b"%b: %b" % (name, value))
    if not has_host:
        lines.insert(1, b"host: " + target.host)
    if target.proxy_authorization is not None:
        lines.append(b"proxy-authorization: " + target.proxy_authorization.reveal().encode("latin-1"))
    if content or request.method not in _NO_BODY:
        lines.append(b"content-length: %d" % len(content))
    if _NOT_IN_A_LINE.search(b"".join(lines)):
        raise ValueError("a header has characters that end it")  # its words would be a request of their own
    return connection.start(parser, b"\r\n".join([*lines, b"", b""]), content)


def parse_proxy(url: str) -> Proxy:
    """The proxy that a URL of the settings or the environment names."""
    parts = urlsplit(url)
    authorization = None
    if parts.username is not None:
        authorization = basic_authorization(parts.username, parts.password or "")
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    return Proxy(parts.hostname or "", port, parts.scheme == "https", authorization)
