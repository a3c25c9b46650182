"""Finds the bearer token in a request's headers (RFC 6750 section 2.1), in the places that the settings allow.

All these places are read, and two different tokens in one request are a refusal: there is no safe choice between them.
Cookies are read only if no header has a token.  The query is never read, because URLs end up in logs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from asgi_llmgate._types import Scope
from asgi_llmgate.auth import reasons
from asgi_llmgate.auth.reasons import Check, TokenRefused
from asgi_llmgate.errors import CrossSite, SettingsError
from asgi_llmgate.mistakes import Mistakes

# b64token of RFC 6750 section 2.1, and "=" anywhere, as some clients send it.
_BEARER = re.compile(rb"bearer +([A-Za-z0-9._~+/=-]+) *", re.IGNORECASE)
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/=-]+")
_GATEWAY_PREFIX = b"x-llmgate-"
"""Only the gateway sets headers of this name; those that a client sends are dropped."""

_PREFIX_LENGTH = len(_GATEWAY_PREFIX)
_BAD_FORM = "it is repeated, empty, of another scheme, or has characters that a token cannot have"

# The headers that require_same_origin decides by.
_SAME_ORIGIN_HEADERS = frozenset({b"origin", b"host", b"sec-fetch-site", b"content-type"})

RawHeaders = Sequence[tuple[bytes, bytes]]


_SHOWN = 64
"""Characters of a name in an error."""

TOKEN_SOURCES = ("authorization",)
"""The default of `token_sources`."""


class TokenSources:
    """The places where a token may be: `authorization`, `x-api-key`, `cookie:NAME`, `header:NAME`.

    Raises SettingsError.
    """

    def __init__(self, names: Sequence[str]) -> None:
        if isinstance(names, str) or not names:
            raise SettingsError("a list with at least one place is needed", path="auth.token_sources")
        self._bearer = False
        self._headers: list[bytes] = []
        self._cookies: list[bytes] = []
        mistakes = Mistakes()
        for index, name in enumerate(names):
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
                hint = "authorization, x-api-key, cookie:NAME or header:NAME"
                message = f"not a place for a token: {name[:_SHOWN]!r}"
                mistakes.add(SettingsError(message, path=f"auth.token_sources[{index}]", hint=hint))
        mistakes.raise_if_any()
        self._credentials = {b"authorization", b"x-api-key", *self._headers, *([b"cookie"] if self._cookies else [])}
        # The one header that nearly every request has.
        self._usual = b"authorization" if self._bearer and b"authorization" not in self._headers else None

    def find(self, scope: Scope) -> bytes | None:
        """The request's token; None when there is none.

        Raises TokenRefused for a malformed header or two different tokens, CrossSite for a cookie of another site.
        """
        sent = [header for header in scope["headers"] if header[0] in self._credentials]
        if len(sent) == 1 and sent[0][0] == self._usual:
            return _parse(sent[0][1], _BEARER, 1)
        return self._find_among(_by_name(sent), scope) if sent else None

    def _find_among(self, sent: Mapping[bytes, Sequence[bytes]], scope: Scope) -> bytes | None:
        found = {_parse_single(sent[name], _TOKEN, 0) for name in self._headers if name in sent}
        if self._bearer and b"authorization" in sent:
            found.add(_parse_single(sent[b"authorization"], _BEARER, 1))
        # A browser adds cookies to every request by itself, so a token that was sent on purpose comes first.
        if not found and self._cookies and (found := self._in_cookies(sent.get(b"cookie", ()))):
            require_same_origin(scope)
        if len(found) > 1:
            raise _malformed("two sources hold different tokens")
        return found.pop() if found else None

    def _in_cookies(self, headers: Sequence[bytes]) -> set[bytes]:
        """The tokens in the cookies of the configured names."""
        found = set()
        # HTTP/2 may split the cookie header (RFC 9113 section 8.2.3).
        for pair in b";".join(headers).split(b";"):
            name, _, value = pair.strip().partition(b"=")
            if name in self._cookies and value:
                found.add(_parse_single([value.strip(b'"')], _TOKEN, 0))
        return found

    def without_credentials(self, headers: RawHeaders) -> list[tuple[bytes, bytes]]:
        """The headers without those that may hold a token, and without any `x-llmgate-*`."""
        hidden = self._credentials
        return [item for item in headers if item[0] not in hidden and item[0][:_PREFIX_LENGTH] != _GATEWAY_PREFIX]


def has_api_key(headers: RawHeaders) -> bool:
    """Whether there is an `x-api-key` header."""
    return any(name == b"x-api-key" for name, _ in headers)


def without_gateway_headers(headers: RawHeaders) -> RawHeaders:
    """The headers without any `x-llmgate-*`; the same object when there is none."""
    if any(name.startswith(_GATEWAY_PREFIX) for name, _ in headers):
        return [item for item in headers if not item[0].startswith(_GATEWAY_PREFIX)]
    return headers


def is_from_helper(headers: RawHeaders) -> bool:
    """Whether one token is in `authorization` and in `x-api-key`.

    Claude Code sends it like this when it comes from its apiKeyHelper.
    """
    sent = _by_name(headers)
    keys, bearers = sent.get(b"x-api-key", ()), sent.get(b"authorization", ())
    if len(keys) != 1 or len(bearers) != 1:
        return False
    bearer = _BEARER.fullmatch(bearers[0])
    return bearer is not None and bearer[1] == keys[0]


def _by_name(headers: RawHeaders) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    return found


def _parse_single(values: Sequence[bytes], form: re.Pattern[bytes], group: int) -> bytes:
    """The token in a header's only value.  Raises TokenRefused when there are several, or it has another form."""
    if len(values) != 1:
        raise _malformed(_BAD_FORM)
    return _parse(values[0], form, group)


def _parse(value: bytes, form: re.Pattern[bytes], group: int) -> bytes:
    found = form.fullmatch(value)
    if found is None:
        raise _malformed(_BAD_FORM)
    return found[group]


def require_same_origin(scope: Scope) -> None:
    """Check that a request with a cookie can not have been sent by a page of another site (CSRF).

    `Sec-Fetch-Site` decides (https://www.w3.org/TR/fetch-metadata/), in its absence `Origin`; a POST also needs the
    content type `application/json`, which a page can send to another origin only after a CORS preflight.

    Raises CrossSite.
    """
    # A header that is there twice is refused: one program reads the first value and another one the last.
    names = [name for name, _ in scope["headers"] if name in _SAME_ORIGIN_HEADERS]
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
