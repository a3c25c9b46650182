"""The terminal app: what each path under the mount answers.

    POST      /v1/messages                 a call, carried to a model server          messages.py
    POST      /v1/messages/count_tokens    an estimate, learnt from what models report
    GET HEAD  /v1/models, /v1/models/{id}  the listed names that the caller's rules allow

Which path is which is a table (`routes`).  Alone, without a Resolve layer before it, the app resolves for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.asgi import Body, local_path, refuse, respond
from asgi_llmgate.errors import GateError, MethodNotAllowed, NotFound
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.messages import Messages
from asgi_llmgate.models import ModelTable
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.protocol.anthropic import MessagesRequest
from asgi_llmgate.protocol.tokens import Estimator
from asgi_llmgate.resolve import ROUTES, Resolver
from asgi_llmgate.upstream import Backend, Upstream

_METHODS = {"messages": "POST", "count_tokens": "POST", "models": "GET, HEAD"}
_EPOCH = "1970-01-01T00:00:00Z"


class TranslationApp:
    """Answers Anthropic's Messages API from OpenAI-style model servers.

    `backends` are the model servers by name, `models` says which of them answers under which name.  `client` is the
    HTTP client, its own where there is none (closed by `aclose`).  Times are seconds; `debug` tells the client what
    was dropped.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        *,
        models: ModelTable,
        routes: Mapping[str, str] = ROUTES,
        client: HTTPClient | None = None,
        ping_interval: float = 12.0,
        client_stall: float = 60.0,
        debug: bool = False,
    ) -> None:
        self._own_client = HTTPClient() if client is None else None
        http = client or self._own_client
        assert http is not None
        self._estimator = Estimator()
        self._models = models
        self._routes = routes
        self._resolver = Resolver(models, routes=routes)
        self._messages = Messages(
            {name: Upstream(backend, http) for name, backend in backends.items()},
            estimator=self._estimator,
            ping_interval=ping_interval,
            client_stall=client_stall,
            debug=debug,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"the gateway speaks HTTP only, not {scope['type']}")
        scope, exchange = Exchange.enter(scope)
        body = self._resolver.body(scope, receive)
        try:
            if exchange.call is None:
                await self._resolver.resolve(scope, body)
            await self._answer(local_path(scope), scope, exchange, body, send)
        except GateError as error:
            await refuse(scope, body.rest, send, error)

    async def aclose(self) -> None:
        """Close the client that was made here."""
        if self._own_client is not None:
            await self._own_client.aclose()

    async def _answer(self, path: str, scope: Scope, exchange: Exchange, body: Body, send: Send) -> None:
        route, item = self._route(path)
        if scope["method"] not in _METHODS[route].split(", "):
            raise MethodNotAllowed(_METHODS[route])
        if route == "models":
            answer = self._model(exchange, item) if item else self._list(exchange)
            await self._respond(scope, exchange, send, answer)
            return
        call = exchange.call
        assert call is not None
        assert isinstance(call.asked, MessagesRequest)
        if route == "count_tokens":
            tokens = self._estimator.estimate(call.asked, call.candidates[0].model)
            await self._respond(scope, exchange, send, {"input_tokens": tokens})
        else:
            await self._messages.answer(exchange, call.asked, body.receive, send)

    def _route(self, path: str) -> tuple[str, str]:
        """The path's type, and the rest of the path for one model among all."""
        if (found := self._routes.get(path)) is not None:
            return found, ""
        parent, _, item = path.rpartition("/")
        if self._routes.get(parent) == "models":
            return "models", item
        raise NotFound(f"no such path: {path[:100]}")

    def _list(self, exchange: Exchange) -> dict[str, Any]:
        listed = [_model(name, shown) for name, shown in self._models.listed() if self._permitted(exchange, name)]
        ids = [each["id"] for each in listed] or [None]
        return {"data": listed, "has_more": False, "first_id": ids[0], "last_id": ids[-1]}

    def _model(self, exchange: Exchange, name: str) -> dict[str, Any]:
        for listed, shown in self._models.listed():
            if listed == name and self._permitted(exchange, name):
                return _model(name, shown)
        raise NotFound(f"model: {name[:100]}")

    def _permitted(self, exchange: Exchange, name: str) -> bool:
        if exchange.permits is None:
            return True
        return any(map(exchange.permits, self._models.resolve(name)))

    async def _respond(self, scope: Scope, exchange: Exchange, send: Send, answer: Any) -> None:
        exchange.settle("ok")
        headers = [(b"content-type", b"application/json"), (b"request-id", exchange.request_id.encode("ascii"))]
        await respond(send, 200, headers, msgspec.json.encode(answer), head=scope["method"] == "HEAD")


def _model(name: str, shown: str) -> dict[str, Any]:
    """One model in the shape of https://platform.claude.com/docs/en/api/models-list."""
    return {"type": "model", "id": name, "display_name": shown, "created_at": _EPOCH}
