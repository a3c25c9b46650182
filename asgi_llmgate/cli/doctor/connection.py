"""DNS, TCP and TLS on the way to a server: which of them fails, and why.

The HTTP client knows only that a server cannot be reached; the system's own errors say what to change. Trusted are the
authorities that the HTTP client trusts.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from asgi_llmgate.cli.doctor.steps import Step
from asgi_llmgate.config.sections.backends import NetSettings, tls_files
from asgi_llmgate.net.proxies import Proxies
from asgi_llmgate.net.tls import tls_context
from asgi_llmgate.net.urls import DEFAULT_PORTS, redact_url

CONNECT_TIMEOUT = 5.0
"""Seconds for the name, the connection and the handshake together."""

ENDS_SOON = 14 * 86400
"""Seconds before its end from which on a certificate is worth a warning."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

# X509_V_ERR_* of OpenSSL, openssl-verification-options(1).
_EXPIRED, _NOT_YET = 10, 9
_WRONG_NAME = frozenset({62, 64})  # a name, an address
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})


async def check_connection(
    path: str,
    url: str,
    net: NetSettings,
    folder: Path,
    *,
    ca_setting: str = "net.ca_file",
    now: Callable[[], float] = time.time,
) -> Step:
    """Connect to the host of `url`, or to the proxy that leads to it. `path` is the setting with the URL.

    `folder` is that of the settings, `ca_setting` the one for further authorities, `now` Unix seconds.
    """
    import httpx

    try:
        proxy = Proxies(net.proxy).for_url(httpx.URL(url))
        parts = urlsplit(proxy or url)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
    except (httpx.InvalidURL, LookupError, ValueError):
        return Step(state="error", path=path, message=f"not a URL that can be asked: {redact_url(url)}")
    place = f"{host}:{port}" + (f", the proxy to {redact_url(url)}" if proxy else "")
    if proxy:
        path = "net.proxy"
    context = _context(net, folder) if parts.scheme == "https" else None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except TimeoutError:
        hint = "a firewall, or a wrong host or port? Try it from this machine: curl -v " + redact_url(url)
        return Step(
            state="error", path=path, message=f"no connection to {place} within {CONNECT_TIMEOUT:g} s", hint=hint
        )
    except (OSError, UnicodeError) as error:
        message, hint = _explain(error, host, place, ca_setting, net.ca_file)
        return Step(state="error", path=path, message=message, hint=hint)
    tls = writer.get_extra_info("ssl_object")
    certificate = tls.getpeercert() if tls is not None else None
    version = tls.version() if tls is not None else ""
    writer.transport.abort()
    if not certificate:
        return Step(path=path, message=f"connected to {place}")
    left = ssl.cert_time_to_seconds(certificate["notAfter"]) - now()
    message = f"connected to {place} with {version}; its certificate is valid for {_days(left)}"
    if left > ENDS_SOON:
        return Step(path=path, message=message)
    return Step(state="warning", path=path, message=message, hint="renew it, or tell whoever runs that server")


def _context(net: NetSettings, folder: Path) -> ssl.SSLContext:
    """The HTTP client's context: with the same paths it is the same object."""
    return tls_context(*tls_files(net, folder))


def _explain(
    error: OSError | UnicodeError, host: str, place: str, ca_setting: str, ca_file: str | None
) -> tuple[str, str]:
    """What failed, and what to do."""
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"the name {host} cannot be resolved", "is it spelled right, and known to the DNS of this machine?"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(error, place, ca_setting, ca_file)
    if isinstance(error, ssl.SSLError):
        hint = "does this port speak http? Then the URL begins with http://" if "VERSION" in str(error.reason) else ""
        return f"the TLS handshake with {place} failed: {error.reason or 'no reason given'}", hint
    if isinstance(error, ConnectionRefusedError):
        hint = "is the server running, and is this its port?"
        if host in _LOOPBACK:
            hint += " In a container, localhost is the container itself"
        return f"nothing listens at {place}", hint
    return f"no connection to {place}: {error.strerror or type(error).__name__}", "is this the right host and port?"


def _explain_certificate(
    error: ssl.SSLCertVerificationError, place: str, ca_setting: str, ca_file: str | None
) -> tuple[str, str]:
    code = error.verify_code
    if code in _UNKNOWN_AUTHORITY:
        hint = f"name the PEM file of your company's authority in {ca_setting}"
        if ca_file is not None:
            hint = f"the authorities in {ca_setting} ({ca_file}) have not signed it: is it the right file?"
        return f"the certificate of {place} is signed by an authority that this machine does not know", hint
    if code == _EXPIRED:
        return f"the certificate of {place} has expired", "it must be renewed, by whoever runs that server"
    if code == _NOT_YET:
        return f"the certificate of {place} is not valid yet", "is the clock of this machine right?"
    if code in _WRONG_NAME:
        return f"the certificate of {place} is for another name", "use a name that stands in the certificate"
    return f"the certificate of {place} is not accepted: {error.verify_message}", ""


def _days(seconds: float) -> str:
    days = int(seconds // 86400)
    return f"{days} day{'' if days == 1 else 's'}"
