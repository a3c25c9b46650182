"""Which addresses secrets and keys may travel to and from, and what of an address may be shown."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit


def is_protected(url: str) -> bool:
    """Whether the URL is https, or http to this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))


_PLACE = re.compile(r"(?:\[[0-9a-f:.%]*\]|[^\s:@\[\]]*)(?::\d*)?", re.IGNORECASE)
"""Host and port."""

_QUERY = re.compile(r"[?#].*", re.DOTALL)


def shown(url: str) -> str:
    """A URL, or what was meant as one, without what may be a credential in it: user and password, query, fragment.

    That there was a query is still told, by `?...`.  A password may have any character in it, escaped or not, so
    whatever is not clearly a host is hidden, too.
    """
    scheme, slashes, rest = url.partition("//") if "//" in url else ("", "", url)
    query = _QUERY.search(rest)
    place, slash, path = rest[: query.start() if query else None].rpartition("@")[2].partition("/")
    unclear = query is not None and "@" in query[0] and not slash
    if unclear or not _PLACE.fullmatch(place):
        return f"{scheme}{slashes}..."
    return f"{scheme}{slashes}{place}{slash}{path}" + ("?..." if query else "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
