"""Finding the bearer token in a request's headers (RFC 6750 section 2.1), where the settings say it may be.

It is never looked for in the query: URLs end up in logs.  Every named header is read, because two different tokens in
one request mean that somebody is mistaken about who calls, and that is refused rather than resolved.  Cookies, which a
browser sends unasked, count only where no header has a token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from asgi_llmgate._types import Scope
from asgi_llmgate.auth import reasons
from asgi_llmgate.auth.reasons import Check, TokenRefused
from asgi_llmgate.errors import CrossSite, SettingsError

_BEARER = re.compile(rb"bearer +([A-Za-z0-9._~+/=-]+) *", re.IGNORECASE)
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/=-]+")
_OURS = b"x-llmgate-"
"""Headers of this name are ours to set; a client that sends one is lying."""

_DECIDING = frozenset({b"origin", b"host", b"sec-fetch-site", b"content-type"})

RawHeaders = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """A token as it was sent.  `by_helper`: in both headers, as Claude Code sends what its apiKeyHelper printed."""

    token: str
    by_helper: bool


class TokenSources:
    """Where tokens are read: `authorization`, `x-api-key`, `cookie:NAME`, `header:NAME`.  Raises SettingsError."""

    def __init__(self, names: Sequence[str]) -> None:
        if isinstance(names, str) or not names:
            raise SettingsError("a list of places is needed", path="auth.token_sources")
        self._bearer = False
        self._headers: list[bytes] = []
        self._cookies: list[bytes] = []
        for name in names:
            kind, _, rest = name.partition(":")
            if name == "authorization":
                self._bearer = True
            elif name == "x-api-key":
                self._headers.append(b"x-api-key")
            elif kind == "header" and rest:
                self._headers.append(rest.lower().encode("ascii", "replace"))
            elif kind == "cookie" and rest:
                self._cookies.append(rest.encode("ascii", "replace"))
            else:
                raise SettingsError(
                    f"not a place for a token: {name!r}",
                    path="auth.token_sources",
                    hint="authorization, x-api-key, cookie:NAME or header:NAME",
                )
        self._credentials = {b"authorization", b"x-api-key", *self._headers, *([b"cookie"] if self._cookies else [])}

    def find(self, scope: Scope) -> Credential | None:
        """The request's token, None without any.  Raises TokenRefused where that is not clear."""
        sent: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            if name in self._credentials:
                sent.setdefault(name, []).append(value)
        if not sent:
            return None
        named = [sent[name] for name in self._headers if name in sent]
        found = {_only(values, _TOKEN, 0) for values in named}
        if self._bearer and b"authorization" in sent:
            found.add(_only(sent[b"authorization"], _BEARER, 1))
        if not found and self._cookies and (found := self._in_cookies(sent.get(b"cookie", ()))):
            require_same_origin(scope)
        if len(found) > 1:
            raise _malformed("two sources hold different tokens")
        return Credential(found.pop().decode("ascii"), _by_helper(sent)) if found else None

    def _in_cookies(self, headers: Sequence[bytes]) -> set[bytes]:
        """HTTP/2 may split the cookie header (RFC 9113 section 8.2.3)."""
        found = set()
        for pair in b";".join(headers).split(b";"):
            name, _, value = pair.strip().partition(b"=")
            if name in self._cookies and value:
                found.add(_only([value.strip(b'"')], _TOKEN, 0))
        return found

    def without_credentials(self, headers: RawHeaders) -> list[tuple[bytes, bytes]]:
        """The headers for an app that has no business with the caller's secrets."""
        return [item for item in headers if item[0] not in self._credentials and not item[0].startswith(_OURS)]


def has_api_key(headers: RawHeaders) -> bool:
    """Whether there is an x-api-key, which is worth a hint where nothing else was found."""
    return any(name == b"x-api-key" for name, _ in headers)


def without_ours(headers: RawHeaders) -> RawHeaders:
    """The headers without any `x-llmgate-*`; the same object when there is none."""
    if any(name.startswith(_OURS) for name, _ in headers):
        return [item for item in headers if not item[0].startswith(_OURS)]
    return headers


def _only(values: Sequence[bytes], form: re.Pattern[bytes], group: int) -> bytes:
    if len(values) != 1 or (found := form.fullmatch(values[0])) is None:
        raise _malformed("it is repeated, empty, of another scheme, or has characters that no token has")
    return found[group]


def _by_helper(sent: Mapping[bytes, Sequence[bytes]]) -> bool:
    keys, bearers = sent.get(b"x-api-key", ()), sent.get(b"authorization", ())
    if len(keys) != 1 or len(bearers) != 1:
        return False
    bearer = _BEARER.fullmatch(bearers[0])
    return bearer is not None and bearer[1] == keys[0]


def require_same_origin(scope: Scope) -> None:
    """A browser adds cookies to whatever page asks, so a paid POST by cookie needs what no foreign page can fake.

    A header that decides and is there twice decides nothing: one reader takes the first and another the last.

    Raises CrossSite.
    """
    names = [name for name, _ in scope["headers"] if name in _DECIDING]
    headers = dict(scope["headers"])
    site = headers.get(b"sec-fetch-site", b"").lower()
    origin = headers.get(b"origin")
    same = site in (b"same-origin", b"none") if site else origin is None or _host(origin) == headers.get(b"host")
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if len(names) > len(set(names)) or not same or (scope.get("method") == "POST" and kind != b"application/json"):
        raise CrossSite(f"authentication failure: {reasons.CROSS_SITE}")


def _host(origin: bytes) -> bytes:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return b""


def _malformed(hint: str) -> TokenRefused:
    return TokenRefused(Check.CREDENTIAL, reasons.BAD_HEADER, hint=hint)
