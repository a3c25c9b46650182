"""Opens connections: name resolution, TCP, TLS, proxies.

    URL      proxy     what is opened
    -------  --------  ---------------------------------------------------------------------------
    http     none      TCP to the host
    https    none      TCP to the host, TLS
    http     any       TCP to the proxy, TLS if it is an https:// one; requests name the whole URL
    https    any       the same, then CONNECT host:port, and TLS to the host through that tunnel

The first address that accepts wins (RFC 8305, "happy eyeballs"): the next one is tried when an attempt has failed or
takes longer than a quarter of a second, and the two families alternate.
"""
# Not `loop.create_connection(happy_eyeballs_delay=...)`: uvloop does not have that parameter.

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from asgi_llmgate.errors import UpstreamError
from asgi_llmgate.net.failures import refused, unreachable
from asgi_llmgate.net.native.connection import Connection
from asgi_llmgate.net.native.parser import ResponseParser
from asgi_llmgate.net.tls import TLS
from asgi_llmgate.secret_values import Secret

_NEXT_ADDRESS = 0.25
"""Seconds, the "Connection Attempt Delay" that RFC 8305 section 5 recommends."""

Address = tuple[Any, ...]
"""Family, type, protocol, canonical name and socket address, as `getaddrinfo` returns them."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """`authorization` is the value of `proxy-authorization`."""

    host: str
    port: int
    is_tls: bool
    authorization: Secret | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection leads to: connections with the same origin can serve the same requests."""

    host: str
    port: int
    is_tls: bool
    proxy: Proxy | None = None

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


async def connect(origin: Origin, tls: TLS) -> Connection:
    """Open a connection.  If it is cancelled, nothing stays open.  Raises ConnectionRefused and Unreachable."""
    proxy, context = origin.proxy, None
    try:
        if origin.is_tls or (proxy is not None and proxy.is_tls):
            context = await tls.context()
        if proxy is None:
            return await _connect(origin.host, origin.port, context)
    except OSError as error:
        raise _failure(error, origin) from None
    try:
        connection = await _connect(proxy.host, proxy.port, context if proxy.is_tls else None)
    except OSError as error:
        raise unreachable("the proxy cannot be reached", _detail(error, proxy.host, proxy.port)) from None
    if not origin.is_tls:
        return connection
    assert context is not None
    return await _tunnel(connection, origin, context)


async def _connect(host: str, port: int, tls: ssl.SSLContext | None) -> Connection:
    loop = asyncio.get_running_loop()
    sock = await _open_socket(loop, host, port)
    connection = Connection(loop)
    name = host.rstrip(".") if tls is not None else None
    try:
        await loop.create_connection(lambda: connection, sock=sock, ssl=tls, server_hostname=name)
    except BaseException:
        connection.abort()
        sock.close()
        raise
    return connection


async def _tunnel(connection: Connection, origin: Origin, tls: ssl.SSLContext) -> Connection:
    """RFC 9110 section 9.3.6."""
    loop = asyncio.get_running_loop()
    transport = None
    try:
        parser = ResponseParser()
        connection.start(parser, _connect_request(origin), b"")
        try:
            await connection.wait_for_head()
        except UpstreamError as error:
            raise unreachable("the proxy refused to connect", error.detail) from None
        if not 200 <= parser.status < 300:
            raise unreachable("the proxy refused to connect", f"status {parser.status}")
        transport = connection.detach()
        inner = Connection(loop)
        try:
            secured = await loop.start_tls(transport, inner, tls, server_hostname=origin.host.rstrip("."))
        except OSError as error:
            raise _failure(error, origin) from None
        if secured is None:  # the connection was closed meanwhile
            raise unreachable("the TLS handshake with the server failed", "closed")
        inner.connection_made(secured)
    except BaseException:
        connection.abort()
        if transport is not None:
            transport.abort()
        raise
    return inner


def _connect_request(origin: Origin) -> bytes:
    assert origin.proxy is not None
    lines = [f"CONNECT {origin.authority} HTTP/1.1", f"host: {origin.authority}"]
    if origin.proxy.authorization is not None:
        lines.append(f"proxy-authorization: {origin.proxy.authorization.reveal()}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _open_socket(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    """A socket that is connected to the first address that accepts.  Raises OSError."""
    addresses = iter(await _resolve(loop, host, port))
    attempts: set[asyncio.Task[socket.socket]] = set()
    failures: list[BaseException] = []
    try:
        while True:
            address = next(addresses, None)
            if address is not None:
                attempts.add(loop.create_task(_attempt(loop, address)))
            elif not attempts:
                raise _most_telling(failures)
            timeout = None if address is None else _NEXT_ADDRESS
            done, _ = await asyncio.wait(attempts, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                attempts.remove(attempt)
                if (error := attempt.exception()) is None:
                    return attempt.result()
                failures.append(error)
    finally:
        failures.clear()  # their tracebacks would refer to this frame
        for attempt in attempts:
            attempt.add_done_callback(_close_late)
            attempt.cancel()


async def _attempt(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    family, kind, protocol, _, place = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, place)
    except BaseException:
        sock.close()
        raise
    return sock


def _close_late(attempt: asyncio.Task[socket.socket]) -> None:
    """Closes the socket of an attempt that succeeded when another one had already."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


def _most_telling(failures: Sequence[BaseException]) -> BaseException:
    # A host without IPv6 fails for ::1 with "cannot assign"; that nothing listens on 127.0.0.1 says more.
    return next((each for each in failures if isinstance(each, ConnectionRefusedError)), failures[0])


async def _resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Sequence[Address]:
    """The addresses of a host, their families alternating.  Raises gaierror."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError, ValueError):
            socket.inet_pton(family, host)
            return [(family, socket.SOCK_STREAM, 0, "", (host, port))]  # without the thread of `getaddrinfo`
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None
    preferred = found[0][0]
    pairs = zip_longest(
        (each for each in found if each[0] == preferred), (each for each in found if each[0] != preferred)
    )
    return [each for each in chain.from_iterable(pairs) if each is not None]


_UNREACHABLE: tuple[tuple[type[OSError], str], ...] = (
    (socket.gaierror, "the server's name cannot be resolved"),
    (ssl.SSLCertVerificationError, "the server's certificate is not trusted"),
    (ssl.SSLError, "the TLS handshake with the server failed"),
    (OSError, "the server cannot be reached"),
)


def _failure(error: OSError, origin: Origin) -> UpstreamError:
    detail = _detail(error, origin.host, origin.port)
    if isinstance(error, ConnectionRefusedError):
        return refused(detail)
    return unreachable(next(message for kind, message in _UNREACHABLE if isinstance(error, kind)), detail)


def _detail(error: OSError, host: str, port: int) -> str:
    """Only the address and the words of the system or of OpenSSL: what a server sent is not quoted."""
    words = getattr(error, "verify_message", None) or error.strerror or getattr(error, "reason", None) or ""
    return f"{type(error).__name__}: {host}:{port}" + (f": {words}" if words else "")
