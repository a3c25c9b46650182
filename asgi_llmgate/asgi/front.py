"""What is answered before anybody asks who calls.

An exact table of method and path: nothing in it needs a caller, shows anything of one, or costs anything, and none of
it is a call to a model, so it writes no usage record.  Whatever is not in the table goes on, whole.

    HEAD       /                         Claude Code warms its connection with one of these
    HEAD, GET  /api/hello
    HEAD, GET  /healthz                  the process answers
    HEAD, GET  /readyz                   200, or 503 with the names of what is broken; what only limps is named, too
    GET        /.well-known/...          OAuth protected resource metadata (RFC 9728), where it is configured
    OPTIONS    any path, as a preflight  204 without a single allow header, which is a browser's no

There is no CORS setting.  A preflight carries no credentials, so behind authentication it would be refused and recorded
as an attempt of nobody; a host that wants browsers of other origins puts its framework's CORS middleware around the
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
    """`broken`: names of what this process should not take requests with; `limping`: of what it can do without, such
    as a database that every process shares and whose work waits: if that were broken, all would be at once."""

    broken: tuple[str, ...] = ()
    limping: tuple[str, ...] = ()


class Front:
    """`health` says how this process is; `metadata` makes the RFC 9728 document for a request's scope."""

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
    """https://fetch.spec.whatwg.org/#cors-preflight-request"""
    names = {name for name, _ in scope["headers"]}
    return b"origin" in names and b"access-control-request-method" in names
