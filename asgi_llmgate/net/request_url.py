"""The URL of a request, in the parts that a transport writes: normalised and percent-encoded as httpx does it.

httpx.URL would do. Importing httpx loads 56 modules into each process, and nothing else of it is needed where the
transport is the gateway's own.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple, Protocol
from urllib.parse import quote

from asgi_llmgate.net.urls import DEFAULT_PORTS

_URL = re.compile(
    r"(?:(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*):)?(?://(?P<authority>[^/?#]*))?(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?"
)
_AUTHORITY = re.compile(r"(?:.*@)?(?P<host>\[.*\]|[^:@]*)(?::(?P<port>[0-9]*))?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_IN_HOST = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=%-]")

# The query percent-encode set, and the path percent-encode set without what ends a path:
# https://url.spec.whatwg.org/#percent-encoded-bytes.  What is percent-encoded already stays.
_UNSAFE_IN_QUERY = re.compile(r'[ "<>]|[^\x00-\x7f]')
_UNSAFE_IN_PATH = re.compile(r'[ "<>`{}]|[^\x00-\x7f]')

_MAX = 2**16


class RequestURL(Protocol):
    """What transports read of a URL; httpx.URL has it too.

    `port` is None where it is the scheme's own, which `netloc` leaves out. `raw_path` is path and query.
    """

    @property
    def scheme(self) -> str: ...
    @property
    def raw_host(self) -> bytes: ...
    @property
    def port(self) -> int | None: ...
    @property
    def netloc(self) -> bytes: ...
    @property
    def raw_path(self) -> bytes: ...


class ParsedURL(NamedTuple):
    """A RequestURL. A user and password of the URL are left out."""

    scheme: str
    raw_host: bytes
    port: int | None
    netloc: bytes
    raw_path: bytes

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc.decode()}{self.raw_path.decode()}"


def parse_url(text: str) -> ParsedURL:
    """Raises ValueError for what is no http or https URL, without the text: it may hold a credential."""
    found = None if len(text) > _MAX or _CONTROL.search(text) else _URL.fullmatch(text)
    where = None if found is None else _AUTHORITY.fullmatch(found["authority"] or "")
    if found is None or where is None:
        raise ValueError("not a URL")
    scheme, host = (found["scheme"] or "").lower(), _encoded_host(where["host"])
    if scheme not in DEFAULT_PORTS or not host:
        raise ValueError("not an http or https URL")
    port = int(where["port"]) if where["port"] else None
    if port == DEFAULT_PORTS[scheme]:
        port = None
    netloc = (b"[%b]" % host if b":" in host else host) + (b"" if port is None else b":%d" % port)
    path = _encoded(_without_dots(found["path"]), _UNSAFE_IN_PATH) or "/"
    if found["query"] is not None:
        path = f"{path}?{_encoded(found['query'], _UNSAFE_IN_QUERY)}"
    return ParsedURL(scheme, host, port, netloc, path.encode("ascii"))


def _encoded_host(host: str) -> bytes:
    if host.startswith("["):
        ipaddress.IPv6Address(host[1:-1])  # raises ValueError
        return host[1:-1].encode("ascii")
    if not host.isascii():
        import idna  # most hosts are ASCII

        return idna.encode(host.lower())  # raises IDNAError, a ValueError
    if _NOT_IN_HOST.search(host):
        raise ValueError("not a host")
    return host.lower().encode("ascii")


def _encoded(text: str, unsafe: re.Pattern[str]) -> str:
    return unsafe.sub(lambda found: quote(found[0], safe=""), text)


def _without_dots(path: str) -> str:
    """The path without its segments `.` and `..` (RFC 3986 section 5.2.4)."""
    segments = path.split("/")
    if "." not in segments and ".." not in segments:
        return path
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            if kept not in ([], [""]):
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept)
