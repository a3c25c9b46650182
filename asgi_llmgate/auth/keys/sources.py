"""Where a provider's public keys come from: the settings, a file, a URL, or OpenID Connect Discovery.

The classes are plain values; cache.py keeps the keys of their documents fresh.  Documents are fetched over https, or
over http from this machine, and redirects are followed only within the same origin.
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
from asgi_llmgate.net.client import Fetch, Fetched
from asgi_llmgate.net.urls import redact_url, require_https
from asgi_llmgate.secret_values import Secret

MAX_DOCUMENT = 1_000_000
"""Bytes of a JWKS or discovery document."""

FETCH_TIMEOUT = 5.0
"""Seconds for one document, from the request to the end of the body."""

_MAX_REDIRECTS = 3
_MAX_AGE = re.compile(r'(?:^|[,\s])max-age\s*=\s*"?(\d{1,9})', re.IGNORECASE)


class KeyFetchError(Exception):
    """The document could not be fetched, or is not what it should be.  The text is for the log."""


@dataclass(frozen=True, slots=True)
class Inline:
    """The JWKS document itself: `{"keys": [...]}`."""

    document: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class File:
    """A file that contains the JWKS; it is read again when it changes."""

    path: str | Path


@dataclass(frozen=True, slots=True)
class URL:
    """The address of the JWKS itself.  Raises SettingsError unless it is protected (see require_https).

    token_file  a file with a bearer token to send there; read for each fetch, because Kubernetes renews it in place
    ca_file     the CA of the server's certificate, when the system does not trust it
    """

    url: str
    token_file: str | Path | None = None
    ca_file: str | Path | None = None

    def __post_init__(self) -> None:
        require_https(self.url)

    def __repr__(self) -> str:
        return f"URL(url={redact_url(self.url)!r}, token_file={self.token_file!r}, ca_file={self.ca_file!r})"


@dataclass(frozen=True, slots=True)
class Discovery:
    """The address that the discovery document has in `jwks_uri`.

    `url` is the address of the discovery document; None: the standard one of the issuer.  Raises SettingsError unless
    it is protected (see require_https).
    """

    url: str | None = None

    def __post_init__(self) -> None:
        if self.url is not None:
            require_https(self.url)

    def __repr__(self) -> str:
        return f"Discovery(url={self.url and redact_url(self.url)!r})"


KeySource = Inline | File | URL | Discovery
"""Where the public keys of an identity provider come from."""


def discovery_url(issuer: str) -> str:
    """The standard address of an issuer's discovery document (OpenID Connect Discovery section 4)."""
    # Section 4.1: one trailing slash of the issuer is removed first.
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


def document_url(source: URL | Discovery, issuers: Sequence[str]) -> str:
    """The address that is asked first for the keys."""
    return source.url or discovery_url(issuers[0])


async def load_remote(source: URL | Discovery, issuers: Sequence[str], fetch: Fetch) -> tuple[Keys, float | None]:
    """What `load_url` or `load_discovered` returns.  Raises what they raise."""
    if isinstance(source, URL):
        return await load_url(source, fetch)
    return await load_discovered(document_url(source, issuers), issuers, fetch)


async def load_url(source: URL, fetch: Fetch) -> tuple[Keys, float | None]:
    """The keys, and the seconds of the response's `max-age`, if it has one.

    Raises KeyFetchError, and GateError as `fetch` does.
    """
    headers = [(b"authorization", _read_token(source.token_file))] if source.token_file else []
    response = await _get(source.url, fetch, headers)
    try:
        keys = read_keys(response.body, origin=redact_url(source.url))
    except BadKeySet as error:
        raise KeyFetchError(f"{redact_url(source.url)} is not a JWKS: {error}") from None
    # Probably a mistake of the server.  An error keeps the known keys valid; an empty set would refuse every token.
    if not keys.usable:
        raise KeyFetchError(f"{redact_url(source.url)} lists no key that can be used")
    found = _MAX_AGE.search(response.headers.get("cache-control", ""))
    return keys, float(found[1]) if found else None


def _read_token(path: str | Path) -> Secret:
    try:
        return Secret("Bearer " + Path(path).read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise KeyFetchError(f"{path} cannot be read: {type(error).__name__}") from None


async def load_discovered(url: str, issuers: Sequence[str], fetch: Fetch) -> tuple[Keys, float | None]:
    """The keys of the discovery document at `url`, and the seconds of `max-age`, if the response has one.

    The document's issuer must be one of `issuers`, character by character (OpenID Connect Discovery section 4.3).

    Raises KeyFetchError, and GateError as `fetch` does.
    """
    response = await _get(url, fetch, ())
    try:
        document = msgspec.json.decode(response.body, type=dict[str, Any])
    except (ValueError, RecursionError):
        raise KeyFetchError(f"{redact_url(url)} is not a JSON object") from None
    if document.get("issuer") not in issuers:
        raise KeyFetchError(
            f"{redact_url(url)} is the document of another issuer: {ascii(document.get('issuer'))[:200]}"
        )
    jwks_uri = document.get("jwks_uri")
    if not isinstance(jwks_uri, str):
        raise KeyFetchError(f"{redact_url(url)} has no jwks_uri")
    try:
        return await load_url(URL(jwks_uri), fetch)
    except SettingsError as error:
        raise KeyFetchError(f"{redact_url(url)}: {error}") from None


async def _get(url: str, fetch: Fetch, headers: Sequence[tuple[bytes, bytes | Secret]]) -> Fetched:
    for _ in range(1 + _MAX_REDIRECTS):
        response = await fetch(url, headers=headers, limit=MAX_DOCUMENT, timeout=FETCH_TIMEOUT)
        if response.status == 200:
            return response
        if response.status not in (301, 302, 303, 307, 308):
            raise KeyFetchError(f"{redact_url(url)} responded with {response.status}")
        url = _redirect_target(url, response.headers.get("location", ""))
    raise KeyFetchError(f"{redact_url(url)} redirects more than {_MAX_REDIRECTS} times")


def _redirect_target(url: str, location: str) -> str:
    """Raises KeyFetchError unless the target has the same origin: another host must not be able to supply keys."""
    try:
        target = urljoin(url, location)
        if _origin(target) == _origin(url):
            return target
    except ValueError:
        pass
    raise KeyFetchError(f"{redact_url(url)} redirects to another origin")


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
