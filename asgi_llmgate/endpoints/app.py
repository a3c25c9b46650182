"""The terminal app: the endpoint of each path under the mount.

    messages, completions    a call, carried to a model server                         calls.py
    count_tokens             the model server's count, or an estimate                  count_tokens.py
    models, openai_models    the listed names that the caller's rules allow            models.py
    passthrough              forwarded                                                 passthrough.py

Which path is which is a table (routing/routes.py). Without a ResolveMiddleware before it the app resolves for itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.asgi import Draining, local_path, refuse, refuse_other, respond
from asgi_llmgate.asgi.client_connection import STALL
from asgi_llmgate.endpoints.calls import GRACE, PING_INTERVAL, Calls
from asgi_llmgate.endpoints.count_tokens import TokenCounter
from asgi_llmgate.endpoints.models import ModelList
from asgi_llmgate.endpoints.passthrough import Passthrough
from asgi_llmgate.errors import GateError, MethodNotAllowed, NotFound
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.protocol.buffer_limit import RESPONSE_LIMIT
from asgi_llmgate.protocol.forwarded_request import ForwardedRequest
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.token_estimate import Estimator
from asgi_llmgate.routing import ModelTable
from asgi_llmgate.routing.resolve import Resolver
from asgi_llmgate.routing.routes import ROUTES, Routes, route_of
from asgi_llmgate.rule_variables import LIST_CLAIMS
from asgi_llmgate.running_state import RunningState
from asgi_llmgate.sealing import Sealer
from asgi_llmgate.upstream import Backend, open_upstreams

if TYPE_CHECKING:
    from asgi_llmgate.endpoints.own_classifier import OwnClassifier
    from asgi_llmgate.endpoints.verdicts import Judge


class TranslationApp:
    """Serves Anthropic's Messages API with OpenAI-style model servers.

    `backends` are the model servers by name, `models` is the model table, `routes` says what each path is. `client` is
    the HTTP client; without one the app makes its own, which `aclose` closes. `sealer` seals what clients keep for
    model servers; without one the key is random. Times are seconds; `grace` is that for
    the rest of a response whose stop reason has come. `answer_limit` is how many bytes of one response may be kept in
    memory at a time. `draining` ends the calls that are open when the server stops. With `debug` a response header
    names the dropped fields. `list_claims` as in PolicyMiddleware. `safeguards` decides about the tool calls of a
    response, where the request asks for that; with `own_classifier="answer"` they also answer the questions of Claude
    Code's own classifier. `state` keeps what is found out about model servers; without it the app
    keeps that.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        *,
        models: ModelTable,
        routes: Routes = ROUTES,
        client: HTTPClient | None = None,
        sealer: Sealer | None = None,
        ping_interval: float = PING_INTERVAL,
        grace: float = GRACE,
        client_stall: float = STALL,
        answer_limit: int = RESPONSE_LIMIT,
        draining: Draining | None = None,
        state: RunningState | None = None,
        debug: bool = False,
        list_claims: Sequence[str] = LIST_CLAIMS,
        safeguards: Judge | None = None,
        own_classifier: Literal["forward", "answer"] = "forward",
    ) -> None:
        self.draining = Draining() if draining is None else draining
        self._own_state = RunningState()
        state = self._own_state if state is None else state
        http = self._own_state.keep("client", "", None, HTTPClient) if client is None else client
        upstreams = open_upstreams(backends, http, state)
        estimator = state.keep("estimates", "", None, Estimator)
        self._routes = routes
        self._resolver = Resolver(models, routes=routes, list_claims=list_claims)
        self._list = ModelList(models, list_claims=list_claims)
        self._counter = TokenCounter(upstreams, estimator=estimator)
        self._passthrough = Passthrough(
            upstreams, client_stall=client_stall, answer_limit=answer_limit, draining=self.draining
        )
        calls = Calls(
            upstreams,
            estimator=estimator,
            sealer=sealer or state.keep("sealer", "", None, Sealer),
            ping_interval=ping_interval,
            grace=grace,
            client_stall=client_stall,
            answer_limit=answer_limit,
            draining=self.draining,
            debug=debug,
            safeguards=safeguards,
        )
        self._calls: Calls | OwnClassifier = calls
        if safeguards is not None and own_classifier == "answer":
            from asgi_llmgate.endpoints.own_classifier import OwnClassifier

            self._calls = OwnClassifier(calls, safeguards, draining=self.draining, client_stall=client_stall)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await refuse_other(scope, send)
            return
        scope, exchange = Exchange.enter(scope)
        body = exchange.body
        is_alone = body is None
        if body is None:  # without a ResolveMiddleware, which would have read it
            body = self._resolver.open_body(exchange, receive)
            receive = body.receive
        try:
            if exchange.call is None:
                await self._resolver.resolve(scope, body)
            await self._respond(scope, exchange, receive, send)
        except GateError as error:
            if exchange.outcome:  # the response had begun, and could not be ended
                raise
            await refuse(scope, body.rest, send, error)
        finally:
            if is_alone:
                self._resolver.close_body(exchange)

    async def aclose(self) -> None:
        """Close the client that was made here."""
        await self._own_state.aclose()

    # Not a coroutine itself: that of the endpoint would be resumed through it at each chunk.
    def _respond(self, scope: Scope, exchange: Exchange, receive: Receive, send: Send) -> Awaitable[None]:
        """The endpoint's response, to be awaited. Raises NotFound, MethodNotAllowed."""
        found = route_of(exchange, scope, self._routes)
        if found is None:
            raise NotFound(f"no such path: {local_path(scope)[:100]}")
        route, call = found.route, exchange.call
        if not route.allows(scope["method"]):
            raise MethodNotAllowed(route.methods)
        if call is None:
            return self._send_json(scope, exchange, send, self._list.body(scope, exchange, found.item))
        request, query = call.request, scope.get("query_string", b"").decode("latin-1")
        assert isinstance(request, (MessagesRequest, ForwardedRequest))
        if isinstance(request, ForwardedRequest) and route.kind == "passthrough":
            return self._passthrough.respond(scope, exchange, request, found.path, receive, send)
        if isinstance(request, MessagesRequest) and route.kind == "count_tokens":
            return self._send_count(scope, exchange, request, send, query)
        return self._calls.respond(scope, exchange, request, receive, send, query=query)

    async def _send_count(
        self, scope: Scope, exchange: Exchange, request: MessagesRequest, send: Send, query: str
    ) -> None:
        assert exchange.call is not None
        tokens = await self._counter.count(exchange, request, exchange.call.candidates[0], query=query)
        await self._send_json(scope, exchange, send, to_json({"input_tokens": tokens}))

    async def _send_json(self, scope: Scope, exchange: Exchange, send: Send, body: bytes) -> None:
        exchange.settle("ok")
        headers = [(b"content-type", b"application/json"), (b"request-id", exchange.request_id.encode("ascii"))]
        await respond(send, 200, headers, body, head=scope["method"] == "HEAD")
