"""Responses that need no identity: health checks, metadata, preflights.  They come before authentication.

This is an exact table of method and path.  None of these requests is a call to a model, so no usage record is written.
All other requests are passed on unchanged.

    HEAD       /                         Claude Code opens its connection with this request
    HEAD, GET  /api/hello
    HEAD, GET  /healthz                  200: the process is alive
    HEAD, GET  /readyz                   200, or 503 with the names of what is broken
    GET        /.well-known/...          OAuth protected resource metadata (RFC 9728), where it is configured
    OPTIONS    any path, as a preflight  204 without any allow header, so the browser does not send the request

There is no CORS setting: a host that allows browsers of other origins puts its framework's CORS middleware around the
mount.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from asgi_llmgate._types import ASGIApp, Receive, Scope, Send
from asgi_llmgate.asgi.mounting import PROTECTED_RESOURCE
from asgi_llmgate.asgi.paths import local_path
from asgi_llmgate.asgi.responses import respond
from asgi_llmgate.exchange import KEY

_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_JSON = (b"content-type", b"application/json")
_UNCACHED = (b"cache-control", b"no-store")


class Page(NamedTuple):
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


_OK = Page(200, (_TEXT, _UNCACHED), b"ok\n")
_HELLO = Page(200, (_JSON,), b'{"message":"hello"}')
_NO_CONTENT = Page(204, (), b"")


class Health(NamedTuple):
    """The names of what does not work in this process.

    broken   the process should get no requests
    limping  the process works without it, such as a database whose writes can wait.  It must not count as broken,
             because all processes use the same database and would be taken out of service at once
    """

    broken: tuple[str, ...] = ()
    limping: tuple[str, ...] = ()


class Front:
    """Middleware.  `health` returns the state of the process; `metadata` makes the RFC 9728 document for a scope."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        health: Callable[[], Health] = Health,
        metadata: Callable[[Scope], Mapping[str, Any]] | None = None,
    ) -> None:
        self.app = app
        self._health = health
        self._pages: dict[tuple[str, str], Callable[[Scope], Page]] = {("HEAD", "/"): lambda scope: _OK}
        for method in ("HEAD", "GET"):
            self._pages[method, "/api/hello"] = lambda scope: _HELLO
            self._pages[method, "/healthz"] = lambda scope: _OK
            self._pages[method, "/readyz"] = self._readyz
        if metadata is not None:
            document = metadata
            self._pages["GET", PROTECTED_RESOURCE] = lambda scope: Page(
                200, (_JSON,), msgspec.json.encode(document(scope))
            )

    # Not a coroutine itself: the coroutine of `app` would be resumed through it at each message.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        method, exchange = scope["method"], scope.get(KEY)
        route = None if exchange is None else exchange.route
        page = self._pages.get((method, local_path(scope) if route is None else route.path))
        if page is not None:
            return respond(send, *page(scope), head=method == "HEAD")
        # A preflight has no credentials: authentication would refuse it, and write a record about an unknown caller.
        if method == "OPTIONS" and _is_preflight(scope):
            return respond(send, *_NO_CONTENT)
        return self.app(scope, receive, send)

    def _readyz(self, scope: Scope) -> Page:
        broken, limping = self._health()
        if not (broken or limping):
            return _OK
        lines = [f"not ready: {', '.join(broken)}"] if broken else ["ok"]
        if limping:
            lines.append(f"limping: {', '.join(limping)}")
        return Page(503 if broken else 200, _OK.headers, ("\n".join(lines) + "\n").encode())


def _is_preflight(scope: Scope) -> bool:
    """Whether this is a CORS preflight: https://fetch.spec.whatwg.org/#cors-preflight-request"""
    names = {name for name, _ in scope["headers"]}
    return b"origin" in names and b"access-control-request-method" in names
