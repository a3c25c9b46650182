"""A login for who can read the console: a link that works once and leaves a cookie.

For trying things out and for a machine with one operator; where there are accounts, `page_auth` asks them.
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
from asgi_llmgate.exchange import read_headers

COOKIE = "llmgate_usage"
_DAY = 24 * 3600.0


class OneTimeLink:
    """`page_auth` for UsagePage: lets in whoever has used a link from `path()`, for `lifetime` seconds.

    Links and cookies are those of this process, and only their digests are kept.
    """

    def __init__(self, *, lifetime: float = _DAY, now: Callable[[], float] = time.time) -> None:
        self._lifetime = lifetime
        self._now = now
        self._keys: dict[bytes, float] = {}
        self._sessions: dict[bytes, float] = {}

    def path(self) -> str:
        """What to put behind the page's address: `/?key=...`, good for one use."""
        return f"/?key={self._issue(self._keys)}"

    def __call__(self, scope: Scope) -> bool:
        """Whether the request has a cookie of ours."""
        try:
            jar = SimpleCookie(read_headers(scope).get("cookie", ""))
        except CookieError:
            return False
        return COOKIE in jar and self._is_good(self._sessions, jar[COOKIE].value)

    def redeem(self, scope: Scope) -> str | None:
        """The `set-cookie` value for a request that brings an unused key; None for all others."""
        (key,) = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("key", [""])[:1]
        if scope["method"] != "GET" or not self._is_good(self._keys, key):
            return None
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

    def _issue(self, book: dict[bytes, float]) -> str:
        now = self._now()
        for digest in [digest for digest, until in book.items() if until <= now]:
            del book[digest]
        token = secrets.token_urlsafe(32)
        book[_digest(token)] = now + self._lifetime
        return token

    def _is_good(self, book: Mapping[bytes, float], token: str) -> bool:
        return book.get(_digest(token), 0.0) > self._now()


def _digest(token: str) -> bytes:
    """Looked up instead of the token: a dictionary compares in a time that depends on what it holds."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
