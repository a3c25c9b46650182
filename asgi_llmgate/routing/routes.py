"""The table of routes: which path under the mount is a request of which kind (see route.py)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from asgi_llmgate._types import Scope
from asgi_llmgate.asgi import local_path
from asgi_llmgate.asgi.wrong_base_urls import api_of
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.route import KINDS, Route, RouteMatch

Routes = Mapping[str, Route]

ROUTES: Routes = MappingProxyType(
    {
        "/v1/messages": Route("messages"),
        "/v1/messages/count_tokens": Route("count_tokens"),
        "/v1/models": Route("models"),
    }
)
"""The default routes; those of the settings are merged over them."""


def route_of(exchange: Exchange, scope: Scope, routes: Routes) -> RouteMatch | None:
    """The request's route, and the exchange's from now on; None where no row fits.

    Errors are in the envelope of the route's wire, and without a route in that of the API whose path this looks like.

    It is looked up once: the layers of a gateway have the same table.
    """
    found = exchange.route
    if found is None:
        path = local_path(scope)
        found = exchange.route = find(routes, path)
        if found is not None:
            exchange.wire = KINDS[found.route.kind][1]
        elif (wire := api_of(exchange.method, path)) is not None:
            exchange.wire = wire
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
