"""URLs: which of them protect secrets on the way, what of a URL may be logged, and what of it becomes a header."""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from urllib.parse import unquote, urlsplit

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.secret_values import Secret

DEFAULT_PORTS = {"http": 80, "https": 443}
"""Scheme -> the port where a URL names none."""


def require_https(url: str, path: str = "") -> None:
    """Raises SettingsError for a URL that is not protected: secrets are sent there, or keys of tokens come from there.

    `path` is the place in the settings.
    """
    if not _is_protected(url):
        raise SettingsError(f"an https URL is needed (http only on this machine), not {redact_url(url)!r}", path=path)


_PLACE = re.compile(r"(?:\[[0-9a-f:.%]*\]|[^\s:@\[\]]*)(?::\d*)?", re.IGNORECASE)
"""Host and port."""

_QUERY = re.compile(r"[?#].*", re.DOTALL)


def redact_url(url: str) -> str:
    """The URL without what may be a credential: user and password, query, fragment.  `?...` stands for a query.

    The text need not be a valid URL.
    """
    # A password may contain any character, escaped or not, so everything that is not clearly a host is hidden.
    scheme, slashes, rest = url.partition("//") if "//" in url else ("", "", url)
    query = _QUERY.search(rest)
    place, slash, path = rest[: query.start() if query else None].rpartition("@")[2].partition("/")
    unclear = query is not None and "@" in query[0] and not slash
    if unclear or not _PLACE.fullmatch(place):
        return f"{scheme}{slashes}..."
    return f"{scheme}{slashes}{place}{slash}{path}" + ("?..." if query else "")


def basic_authorization(user: str, password: str) -> Secret:
    """The header for user and password as a URL has them, percent-encoded: Basic (RFC 7617)."""
    pair = f"{unquote(user)}:{unquote(password)}".encode()
    return Secret("Basic " + b64encode(pair).decode("ascii"))


def _is_protected(url: str) -> bool:
    """Whether the URL is https, or http to the loopback interface."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
