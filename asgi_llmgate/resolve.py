"""Resolve: from the body of a request to the call that the rules decide on.

The name that the client asks for is not the model that answers, so a decision needs both, and both need the body.  It
is read here once, decoded once, and looked up in the model table; what comes after reads `exchange.call`.  The layer
sits behind authentication (nobody unknown makes us read 32 MiB) and before policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from asgi_llmgate._types import ASGIApp, Receive, Scope, Send
from asgi_llmgate.asgi import Body, local_path, refuse
from asgi_llmgate.errors import GateError
from asgi_llmgate.exchange import Call, Exchange
from asgi_llmgate.models import ModelTable
from asgi_llmgate.policy import facts
from asgi_llmgate.protocol.anthropic import decode_messages

ROUTES: Mapping[str, str] = MappingProxyType(
    {
        "/v1/messages": "messages",
        "/v1/messages/count_tokens": "count_tokens",
        "/v1/models": "models",
    }
)
"""What each path under the mount is, by default; settings are merged over it."""

CALLS = frozenset({"messages", "count_tokens"})
"""The route types whose body is a call to a model."""

BODY_LIMIT = 32 * 2**20


class Resolver:
    """Turns a request into a call.  `routes` maps a path under the mount to its type, `body_limit` is in bytes."""

    def __init__(self, models: ModelTable, *, routes: Mapping[str, str] = ROUTES, body_limit: int = BODY_LIMIT) -> None:
        self._models = models
        self._routes = routes
        self._body_limit = body_limit

    async def resolve(self, scope: Scope, body: Body) -> None:
        """Set `exchange.call` where the request is a call to a model.

        Raises InvalidRequest, BodyTooLarge, ClientGone from reading, NotFound for a model that no row names.
        """
        route = self._routes.get(local_path(scope))
        if scope["method"] != "POST" or route not in CALLS:
            return
        exchange = Exchange.of(scope)
        headers = exchange.headers
        asked = decode_messages(await body.read(), counting=route == "count_tokens")
        call = exchange.call = Call(
            asked=asked,
            candidates=(),
            session_id=headers.get("x-claude-code-session-id", ""),
            agent_id=headers.get("x-claude-code-agent-id", ""),
            request_class=headers.get("x-claude-code-request-class", ""),
        )
        call.candidates = self._models.resolve(
            asked.model, facts(scope, exchange) if self._models.conditional else None
        )

    def body(self, scope: Scope, receive: Receive) -> Body:
        return Body(receive, limit=self._body_limit, headers=Exchange.of(scope).headers)


class ResolveMiddleware:
    """The Resolver as a layer.  What it cannot make sense of is answered here, in the Anthropic envelope."""

    def __init__(
        self, app: ASGIApp, *, models: ModelTable, routes: Mapping[str, str] = ROUTES, body_limit: int = BODY_LIMIT
    ) -> None:
        self.app = app
        self._resolver = Resolver(models, routes=routes, body_limit=body_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope, _ = Exchange.enter(scope)
        body = self._resolver.body(scope, receive)
        try:
            await self._resolver.resolve(scope, body)
        except GateError as error:
            return await refuse(scope, body.rest, send, error)
        return await self.app(scope, body.receive, send)
