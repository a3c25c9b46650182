"""A gateway inside another ASGI app, whatever framework that is.

The host's callable is wrapped; the gateway is not one of its views.  Views come with limits that are made for pages:
Django reads the body first and refuses it above 2.5 MB, Quart ends a response after 60 seconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from asgi_llmgate.asgi.lifespan import Hooks, run_lifespan
from asgi_llmgate.asgi.misdirected import HostResponses
from asgi_llmgate.asgi.paths import is_under, local_path
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.secret_values import hide_header_values

PROTECTED_RESOURCE = "/.well-known/oauth-protected-resource"
"""RFC 9728 section 3.1: for a resource under /llm it is asked for at this path + /llm, at the root of the host."""


Host = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI app of any framework; each has types of its own for the three arguments."""


class Mountable(Hooks, Protocol):
    """What `mount` needs of a gateway: an ASGI app with `startup` and `shutdown`."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Mounted:
    """The host with the gateway in it: again an ASGI app, typed loosely enough to be assigned to a framework's own."""

    def __init__(self, host: Host, prefix: str, gateway: Mountable, *, well_known: bool) -> None:
        self._host = host
        self._responses = HostResponses(host, prefix)
        self._prefix = prefix
        self._gateway = gateway
        self._metadata = PROTECTED_RESOURCE + prefix if well_known else None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await run_lifespan(self._gateway, scope, receive, send, host=self._host)
        if scope["type"] not in ("http", "websocket"):
            return await self._host(scope, receive, send)
        path = local_path(scope)
        root_path = scope.get("root_path", "").rstrip("/") + self._prefix
        if is_under(path, self._prefix):
            scope = hide_header_values(scope)
            scope["root_path"] = root_path
            return await self._gateway(scope, receive, send)
        if path == self._metadata:
            scope = hide_header_values(scope)
            scope["path"], scope["root_path"] = root_path + PROTECTED_RESOURCE, root_path
            return await self._gateway(scope, receive, send)
        return await self._responses(scope, receive, send)


def mount(host: Host, prefix: str, gateway: Mountable, *, well_known: bool = False) -> Mounted:
    """Serve `gateway` under `prefix` of `host`, and everything else by `host`.

    `prefix` begins with a slash and does not end in one.  The gateway's `startup` runs before the host's and its
    `shutdown` after, if the server speaks the lifespan protocol.  With `well_known` the gateway also serves
    `/.well-known/oauth-protected-resource` + `prefix`.  Raises SettingsError for a prefix that is none.
    """
    if not prefix.startswith("/") or prefix.endswith("/"):
        raise SettingsError(f"{prefix!r} is no prefix for a mount", path="prefix", hint='a path such as "/llm"')
    return Mounted(host, prefix, gateway, well_known=well_known)
