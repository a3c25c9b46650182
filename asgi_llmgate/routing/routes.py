"""What each path under the mount is.

    type            methods    wire      what it is
    ------------  ---------  --------  -----------------------------------------------------------------------
    messages        POST       messages  a call: Anthropic's Messages API
    count_tokens    POST       messages  the tokens of such a call
    models          GET, HEAD  messages  the models that the caller may use, and one of them at `<path>/{id}`
    completions     POST       chat      a call: OpenAI's chat completions, for a backend with that wire
    openai_models   GET, HEAD  chat      the same list in OpenAI's shape
    passthrough     any        chat      forwarded to one backend, under the same path after `/v1`

A path without a row is 404. Error responses have the envelope of the row's wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from asgi_llmgate._types import Scope
from asgi_llmgate.asgi import local_path
from asgi_llmgate.exchange import Exchange, Wire

Kind = Literal["messages", "count_tokens", "models", "completions", "openai_models", "passthrough"]

KINDS: Mapping[Kind, tuple[str, Wire]] = MappingProxyType(
    {
        "messages": ("POST", "messages"),
        "count_tokens": ("POST", "messages"),
        "models": ("GET, HEAD", "messages"),
        "completions": ("POST", "chat"),
        "openai_models": ("GET, HEAD", "chat"),
        "passthrough": ("", "chat"),
    }
)
"""The methods, as in an `allow` header ("" for any), and the wire."""

_OPERATIONS = {"embeddings": "embeddings", "completions": "text_completion"}


class Route(NamedTuple):
    """`backend` is that of a passthrough, by its key in the settings."""

    kind: Kind
    backend: str = ""

    @property
    def wire(self) -> Wire:
        return KINDS[self.kind][1]

    @property
    def methods(self) -> str:
        return KINDS[self.kind][0]

    def allows(self, method: str) -> bool:
        methods = KINDS[self.kind][0]
        return not methods or method in methods.split(", ")

    def operation(self, path: str) -> str:
        """`gen_ai.operation.name` of a call on this route; "" where the conventions have no name for it."""
        return "chat" if self.kind != "passthrough" else _OPERATIONS.get(path.rpartition("/")[2], "")


Routes = Mapping[str, Route]

ROUTES: Routes = MappingProxyType(
    {
        "/v1/messages": Route("messages"),
        "/v1/messages/count_tokens": Route("count_tokens"),
        "/v1/models": Route("models"),
    }
)
"""The default routes; those of the settings are merged over them."""


class RouteMatch(NamedTuple):
    """The route of a request. `path` is its path under the mount; `item` is the rest of it where it names one model."""

    route: Route
    path: str
    item: str = ""


def route_of(exchange: Exchange, scope: Scope, routes: Routes) -> RouteMatch | None:
    """The request's route, and the exchange's from now on; None where no row fits.

    It is looked up once: the layers of a gateway have the same table.
    """
    found = exchange.route
    if found is None:
        found = exchange.route = find(routes, local_path(scope))
        if found is not None:
            exchange.wire = KINDS[found.route.kind][1]
    return found


def find(routes: Routes, path: str) -> RouteMatch | None:
    """The route of a path under the mount; None where no row fits."""
    if (route := routes.get(path)) is not None:
        return RouteMatch(route, path)
    # A path may have any number of slashes, while routes are few: so the loop is over the routes.
    parents = [parent for parent in routes if path.startswith(f"{parent}/")]
    if not parents:
        return None
    parent = max(parents, key=len)
    route = routes[parent]
    return RouteMatch(route, path, path[len(parent) + 1 :]) if route.kind in ("models", "openai_models") else None
