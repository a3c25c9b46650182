"""Calls with a wrong base URL get a response that says which one is right (wrong_base_urls.py).

The status is 421.  Claude Code shows the message of a 421 after one attempt.  For a 404 it shows that there is an issue
with the selected model, whatever the message is.

    where the wrong path is              who responds
    -----------------------------------  ---------------------------------------------------------------------------
    under the mount                      WrongPaths, a layer of the gateway behind authentication: one record, with
                                         the caller's name.  Before policy: rules about models would deny the request
    beside it, in a host that is         HostResponses: only if the host has no response that a client of the
      wrapped by `mount`                 Messages API could understand
    beside it, in an app of Starlette    `unmatched`, behind the app's own routes, for as long as `Gateway.lifespan`
      or FastAPI with a Mount            runs
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from asgi_llmgate._types import ASGIApp, Message, Receive, Scope, Send
from asgi_llmgate.asgi.paths import local_path
from asgi_llmgate.asgi.responses import refuse
from asgi_llmgate.asgi.wrong_base_urls import api_of, wrong_base_url, wrong_openai_url
from asgi_llmgate.errors import Misdirected
from asgi_llmgate.exchange import KEY
from asgi_llmgate.route import Route

_NO_PATH = frozenset({301, 302, 303, 307, 308, 403, 404, 405})
"""Statuses by which hosts say that they have no such path: also a redirect to the login, and a missing CSRF token."""


class WrongPaths:
    """A layer that refuses calls at a path that is no route.  `public` is the gateway's own URL, where it is known."""

    def __init__(self, app: ASGIApp, *, routes: Mapping[str, Route], public: str = "") -> None:
        self.app = app
        self._routes = routes
        self._public = public

    # Not a coroutine itself: that of `app` would be resumed through it at each message.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        exchange = scope.get(KEY)
        if (exchange is None or exchange.route is None) and (error := self._error(scope)) is not None:
            return refuse(scope, receive, send, error)
        return self.app(scope, receive, send)

    def _error(self, scope: Scope) -> Misdirected | None:
        wire = api_of(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if wire is None:
            return None
        asked, root = _asked(scope)
        if wire == "chat":
            return wrong_openai_url(asked, root, scope, self._routes, public=self._public)
        routes = [path for path, route in self._routes.items() if route.kind == "messages"]
        base = next((path for path in routes if path.endswith("/v1/messages")), "").removesuffix("/v1/messages")
        return wrong_base_url(asked, root + base, scope, public=self._public and self._public + base)


class HostResponses:
    """Around a host: replaces its response to a call of Anthropic's API where that says that the path is not there.

    `prefix` is the path of the gateway.  All other requests and responses stay as they are.
    """

    def __init__(self, host: ASGIApp, prefix: str) -> None:
        self.host = host
        self._prefix = prefix

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        error = _error_beside(scope, self._prefix)
        if error is None:
            return self.host(scope, receive, send)
        response = _Replaced(scope, receive, send, error)
        return self.host(scope, response.receive, response.send)


class _Replaced:
    """The messages of one request to a host, with `error` as the response if the host has none."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, error: Misdirected) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._error = error
        self._read = False
        self._start: Message | None = None
        self._is_json = False
        self._replaced = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._read = not message.get("more_body", False)
        return message

    async def _receive_rest(self) -> Message:
        """What is left of the request's body: nothing where the host has read it."""
        return {"type": "http.request"} if self._read else await self._receive()

    async def send(self, message: Message) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start" and message["status"] in _NO_PATH:
            self._start = message
            kinds = [value for name, value in message.get("headers", ()) if name.lower() == b"content-type"]
            self._is_json = any(b"json" in kind.lower() for kind in kinds)
            return
        if self._start is not None and message["type"] == "http.response.body":
            # An error body of either API: the host serves this path, and the error is about something else.
            if not (self._is_json and b'"error"' in message.get("body", b"")):
                self._replaced = True
                await refuse(self._scope, self._receive_rest, self._send, self._error)
                return
            await self._send(self._start)
            self._start = None
        await self._send(message)


@contextmanager
def unmatched(host: Any, gateway: Any) -> Iterator[None]:
    """While the block runs, calls that no route of `host` matches are told where `gateway` is mounted.

    `host` is an app of Starlette or FastAPI, whose router has an app for what no route matches: `router.default`.
    Other hosts, and those that do not mount the gateway themselves, stay as they are.
    """
    router = getattr(host, "router", None)
    default = getattr(router, "default", None)
    routes = getattr(router, "routes", None) or ()
    prefix = next((each.path for each in routes if getattr(each, "app", None) is gateway), "")
    if router is None or not callable(default) or not prefix:
        yield
        return
    router.default = _Unmatched(default, prefix)
    try:
        yield
    finally:
        router.default = default


class _Unmatched:
    def __init__(self, app: Callable[[Any, Any, Any], Awaitable[None]], prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = _error_beside(scope, self._prefix)
        if error is None:
            await self._app(scope, receive, send)
        else:
            await refuse(scope, receive, send, error)


def _error_beside(scope: Scope, prefix: str) -> Misdirected | None:
    """The error for a call of Anthropic's API, by its header, beside a gateway at `prefix`; None for other requests."""
    if scope["type"] != "http" or api_of(scope["method"], scope["path"]) != "messages":
        return None
    if all(name.lower() != b"anthropic-version" for name, _ in scope["headers"]):
        return None
    asked, root = _asked(scope)
    return wrong_base_url(asked, root + prefix, scope)


def _asked(scope: Scope) -> tuple[str, str]:
    """The path in the request, with the root path of the host, and that root path."""
    root = scope.get("root_path", "").rstrip("/")
    return root + local_path(scope), root
