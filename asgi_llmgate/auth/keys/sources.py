"""Where a provider's public keys come from: the settings themselves, a file, a URL, or OpenID Connect Discovery.

These are values, compared and printed like any other; what keeps their keys fresh is in keycache.py.  Remote documents
are read over https (http on the loopback interface only) and a redirect is followed only within its origin, so that
whoever can answer for another host cannot hand us keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from asgi_llmgate.auth.keys.key_set import BadKeySet, Keys, read_keys
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange import Secret
from asgi_llmgate.net.client import Fetch, Fetched
from asgi_llmgate.net.urls import is_protected, shown

MAX_DOCUMENT = 1_000_000
"""Bytes of a JWKS or discovery document."""

FETCH_TIMEOUT = 5.0
"""Seconds for one of them, whole."""

_MAX_REDIRECTS = 3
_MAX_AGE = re.compile(r'(?:^|[,\s])max-age\s*=\s*"?(\d{1,9})', re.IGNORECASE)


class Unfetchable(Exception):
    """The document could not be had, or is not what it should be.  The text is for the log."""


@dataclass(frozen=True, slots=True)
class Inline:
    """The JWKS document itself: `{"keys": [...]}`."""

    document: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class File:
    """A file that holds the JWKS, read again when it changes."""

    path: str | Path


@dataclass(frozen=True, slots=True)
class URL:
    """The JWKS's own address.

    `token_file`: a bearer token to show there, read at each fetch (Kubernetes renews it in place); `ca_file`: the CA
    that signed its certificate, when the system does not know it.
    """

    url: str
    token_file: str | Path | None = None
    ca_file: str | Path | None = None

    def __post_init__(self) -> None:
        require_https(self.url)

    def __repr__(self) -> str:
        return f"URL(url={shown(self.url)!r}, token_file={self.token_file!r}, ca_file={self.ca_file!r})"


@dataclass(frozen=True, slots=True)
class Discovery:
    """The `jwks_uri` of a discovery document; `url` is its address where it is not the standard one of the issuer."""

    url: str | None = None

    def __post_init__(self) -> None:
        if self.url is not None:
            require_https(self.url)

    def __repr__(self) -> str:
        return f"Discovery(url={self.url and shown(self.url)!r})"


KeySource = Inline | File | URL | Discovery


def require_https(url: str) -> None:
    """Raises SettingsError unless the URL is https, or http to this machine."""
    if not is_protected(url):
        raise SettingsError(f"keys are fetched over https (http only on this machine), not from {shown(url)!r}")


def discovery_url(issuer: str) -> str:
    """The standard address of an issuer's document: one trailing slash goes (OpenID Connect Discovery section 4)."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


async def load_url(source: URL, fetch: Fetch) -> tuple[Keys, float | None]:
    """The keys, and the seconds for which the answer says that they are fresh.  Raises Unfetchable."""
    headers = [(b"authorization", _read_token(source.token_file))] if source.token_file else []
    answer = await _get(source.url, fetch, headers)
    try:
        keys = read_keys(answer.body, origin=shown(source.url))
    except BadKeySet as error:
        raise Unfetchable(f"{shown(source.url)} is no JWKS: {error}") from None
    if not keys.usable:  # a slip of the server rather than its wish to lock everybody out
        raise Unfetchable(f"{shown(source.url)} lists no key that can be used")
    found = _MAX_AGE.search(answer.headers.get("cache-control", ""))
    return keys, float(found[1]) if found else None


def _read_token(path: str | Path) -> Secret:
    try:
        return Secret("Bearer " + Path(path).read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise Unfetchable(f"{path} cannot be read: {type(error).__name__}") from None


async def load_discovered(url: str, issuers: Sequence[str], fetch: Fetch) -> tuple[Keys, float | None]:
    """The keys that the discovery document at `url` leads to.  It must speak for one of `issuers`, to the letter.

    Raises Unfetchable.
    """
    answer = await _get(url, fetch, ())
    try:
        document = msgspec.json.decode(answer.body, type=dict[str, Any])
    except (ValueError, RecursionError):
        raise Unfetchable(f"{shown(url)} is not a JSON object") from None
    if document.get("issuer") not in issuers:
        raise Unfetchable(f"{shown(url)} is the document of another issuer: {ascii(document.get('issuer'))[:200]}")
    jwks_uri = document.get("jwks_uri")
    if not isinstance(jwks_uri, str):
        raise Unfetchable(f"{shown(url)} has no jwks_uri")
    try:
        return await load_url(URL(jwks_uri), fetch)
    except SettingsError as error:
        raise Unfetchable(f"{shown(url)}: {error}") from None


async def _get(url: str, fetch: Fetch, headers: Sequence[tuple[bytes, bytes | Secret]]) -> Fetched:
    for _ in range(1 + _MAX_REDIRECTS):
        answer = await fetch(url, headers=headers, limit=MAX_DOCUMENT, timeout=FETCH_TIMEOUT)
        if answer.status == 200:
            return answer
        if answer.status not in (301, 302, 303, 307, 308):
            raise Unfetchable(f"{shown(url)} answered {answer.status}")
        url = _redirected(url, answer.headers.get("location", ""))
    raise Unfetchable(f"{shown(url)} redirects in circles")


def _redirected(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
        if _origin(target) == _origin(url):
            return target
    except ValueError:
        pass
    raise Unfetchable(f"{shown(url)} redirects to another origin")


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
