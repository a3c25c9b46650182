"""Which addresses secrets and keys may travel to and from."""

from __future__ import annotations

import ipaddress
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


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
