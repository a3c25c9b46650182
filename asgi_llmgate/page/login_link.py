"""A login without accounts: a link that works once and sets a cookie.

For trials, and for a machine with one operator who can read the console.  If the host has accounts, `page_auth` should
use them.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from asgi_llmgate._types import Scope
from asgi_llmgate.request_headers import read_headers

COOKIE = "llmgate_usage"
_DAY = 24 * 3600.0


class OneTimeLink:
    """`page_auth` for UsagePage: accepts a browser that has opened a link from `path()`, for `lifetime` seconds.

    Links and cookies are valid in this process only; it keeps only their digests.  `now`: Unix seconds.
    """

    def __init__(self, *, lifetime: float = _DAY, now: Callable[[], float] = time.time) -> None:
        self._lifetime = lifetime
        self._now = now
        self._keys: dict[bytes, float] = {}
        self._sessions: dict[bytes, float] = {}

    def path(self) -> str:
        """A new link, relative to the page's address: `/?key=...`.  It can be used once."""
        return f"/?key={self._issue(self._keys)}"

    def __call__(self, scope: Scope) -> bool:
        """Whether the request has a valid cookie of this object."""
        try:
            jar = SimpleCookie(read_headers(scope).get("cookie", ""))
        except CookieError:
            return False
        return COOKIE in jar and self._is_good(self._sessions, jar[COOKIE].value)

    def refusal(self, scope: Scope) -> str:
        """What a browser is told that is not accepted."""
        if _key(scope):
            return (
                "this login link has been used, or is too old: start the program again that printed it, for a new one"
            )
        return "you are not logged in: open the login link that the program printed when it started"

    def redeem(self, scope: Scope) -> str | None:
        """The value of `set-cookie` for a request with an unused key; None for all other requests."""
        key = _key(scope)
        if scope["method"] != "GET" or not self._is_good(self._keys, key):
            return None
        # Deleted before the cookie is made: the link works once.
        del self._keys[_digest(key)]
        cookie: Mapping[str, Any] = {
            "Path": scope.get("root_path", "") or "/",
            "Max-Age": int(self._lifetime),
            "HttpOnly": None,
            "SameSite": "Strict",
            **({"Secure": None} if scope.get("scheme") == "https" else {}),
        }
        attributes = "; ".join(name if value is None else f"{name}={value}" for name, value in cookie.items())
        return f"{COOKIE}={self._issue(self._sessions)}; {attributes}"

    def _issue(self, tokens: dict[bytes, float]) -> str:
        now = self._now()
        # Delete expired ones, or links that are never opened would pile up.
        for digest in [digest for digest, until in tokens.items() if until <= now]:
            del tokens[digest]
        token = secrets.token_urlsafe(32)
        tokens[_digest(token)] = now + self._lifetime
        return token

    def _is_good(self, tokens: Mapping[bytes, float], token: str) -> bool:
        return tokens.get(_digest(token), 0.0) > self._now()


def _key(scope: Scope) -> str:
    """The key of a link, good or not; "" where the request has none."""
    query: bytes = scope.get("query_string", b"")
    return parse_qs(query.decode("latin-1")).get("key", [""])[0]


def _digest(token: str) -> bytes:
    # The digest is the key of the dictionary, because comparing tokens would take a time that depends on their
    # contents.
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
