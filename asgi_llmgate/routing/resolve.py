"""ResolveMiddleware: from the body of a request to the call that the rules decide on.

The name that the client asks for is not the model that serves the call. A decision needs both, and so the body. It is
read and decoded here, once, and the name is looked up in the model table; the layers after this one read
`exchange.call`. The layer is behind authentication, so that the gateway reads no 32 MiB from an unknown caller, and
before policy.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from types import MappingProxyType

from asgi_llmgate._types import ASGIApp, Receive, Scope, Send
from asgi_llmgate.asgi import Body, Uploads, refuse
from asgi_llmgate.asgi.upload_limits import MEMORY, MIN_RATE, TIMEOUT
from asgi_llmgate.errors import GateError, NotFound
from asgi_llmgate.exchange import Exchange, RequestBody
from asgi_llmgate.exchange_values import Call, RequestFeatures, Target
from asgi_llmgate.protocol.forwarded_request import decode_forwarded
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.rawjson.structure import STRUCTURE, Structure
from asgi_llmgate.route import Route
from asgi_llmgate.routing import ModelTable
from asgi_llmgate.routing.routes import ROUTES, Routes, route_of
from asgi_llmgate.rule_variables import LIST_CLAIMS, RuleVariables, variables_of
from asgi_llmgate.running_state import RunningState

BODY_LIMIT = 32 * 2**20

LARGE = 2**20
"""Bytes. Larger bodies are decoded in a thread."""

MAX_NAMES = 1024
"""Names of models whose targets are kept."""


class Resolver:
    """Turns a request into a call.

    `routes` says what each path under the mount is. `body_limit` is in bytes. `uploads` limits the time and the memory
    of bodies, `structure` their structure. `list_claims` as in PolicyMiddleware, so that conditions of rows read the
    same claims as rules.
    """

    def __init__(
        self,
        models: ModelTable,
        *,
        routes: Routes = ROUTES,
        body_limit: int = BODY_LIMIT,
        uploads: Uploads | None = None,
        structure: Structure = STRUCTURE,
        list_claims: Sequence[str] = LIST_CLAIMS,
    ) -> None:
        self._uploads = uploads or Uploads()
        self._models = models
        self._routes = routes
        self._body_limit = body_limit
        self._structure = structure
        self._list_claims = tuple(list_claims)
        self._found: dict[tuple[str, str], tuple[Target, ...]] = {}

    async def resolve(self, scope: Scope, body: RequestBody) -> None:
        """Set `exchange.call` if the request is a call.

        Raises what reading the body raises, InvalidRequest and StructureTooLarge for its content, and NotFound for a
        model without a row.
        """
        exchange = Exchange.of(scope)
        found = route_of(exchange, scope, self._routes)
        # A path that is no route, or a method that it does not allow, gets its error from the endpoints, after policy.
        if found is None:
            return
        route = found.route
        decode = _DECODERS.get(route.kind)
        if decode is None or not route.allows(scope["method"]):
            return
        headers = exchange.headers
        raw = await body.read()
        if len(raw) < LARGE:
            request = decode(raw, structure=self._structure)
        else:
            request = await _decode_in_thread(partial(decode, structure=self._structure), raw)
        call = exchange.call = Call(
            request=request,
            candidates=(),
            session_id=headers.get("x-claude-code-session-id", ""),
            agent_id=headers.get("x-claude-code-agent-id", ""),
            request_class=headers.get("x-claude-code-request-class", ""),
            operation=route.operation(found.path),
        )
        call.candidates = self._candidates(route, request.model, scope, exchange)

    def open_body(self, exchange: Exchange, receive: Receive) -> RequestBody:
        """The request's body.  Who opens it calls `close_body` at the end of the request."""
        exchange.body = Body(receive, limit=self._body_limit, headers=exchange.headers, uploads=self._uploads)
        return exchange.body

    def close_body(self, exchange: Exchange) -> None:
        # The bytes must be free when their part of `body_memory` is: `exchange` lives until its record is written.
        body, exchange.body = exchange.body, None
        if body is not None:
            body.close()

    def _candidates(self, route: Route, asked: str, scope: Scope, exchange: Exchange) -> tuple[Target, ...]:
        """The targets for a name, found once for each name where no row has a condition."""
        if self._models.conditional:
            return self._find(route, asked, variables_of(scope, exchange, self._list_claims))
        key = (route.backend, asked)
        found = self._found.get(key)
        if found is None:
            found = self._find(route, asked, None)
            # Callers may make names up. How long one is, `structure` limits.
            if len(self._found) >= MAX_NAMES:
                self._found.clear()
            self._found[key] = found
        return found

    def _find(self, route: Route, asked: str, known: RuleVariables | None) -> tuple[Target, ...]:
        """The targets. Those of a passthrough are at its own backend; a model in its body has to be in the table."""
        if route.backend and not asked:
            return (Target(route.backend, self._models.vendors[route.backend], ""),)
        found = self._models.resolve(asked, known)
        if not route.backend:
            return found
        # A passthrough has one backend: other targets of the model's row cannot serve it.
        there = tuple(target for target in found if target.backend == route.backend)
        if not there:
            raise NotFound(f"model: {asked[:128]}")
        return there


async def _decode_in_thread(decode: Callable[[bytes], RequestFeatures], body: bytes) -> RequestFeatures:
    """Decode a large body in a thread, so that the event loop can work in between.

    One at a time: several threads would compete with the event loop for the interpreter.
    """
    return await asyncio.get_running_loop().run_in_executor(_thread(os.getpid()), decode, body)


@cache
def _thread(process: int) -> ThreadPoolExecutor:
    """The thread of a process; after a fork the child has none of its parent's threads."""
    return ThreadPoolExecutor(1, thread_name_prefix="llmgate-decode")


_DECODERS: Mapping[str, Callable[..., RequestFeatures]] = MappingProxyType(
    {
        "messages": decode_messages,
        "count_tokens": partial(decode_messages, counting=True),
        "completions": partial(decode_forwarded, needs_model=True),
        "passthrough": partial(decode_forwarded, needs_model=False),
    }
)
"""Kind of route -> the decoder of its calls. The other kinds have no calls."""


class ResolveMiddleware:
    """The Resolver as a layer; it refuses requests that cannot be decoded.

    A body may pause for `body_timeout` seconds, and be 20 seconds behind a rate of `body_min_rate` bytes per second.
    `body_memory` is the memory in bytes for the bodies of all requests that are in this layer; `state` counts it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        models: ModelTable,
        routes: Routes = ROUTES,
        body_limit: int = BODY_LIMIT,
        body_timeout: float = TIMEOUT,
        body_min_rate: float = MIN_RATE,
        body_memory: int = MEMORY,
        structure: Structure = STRUCTURE,
        state: RunningState | None = None,
        list_claims: Sequence[str] = LIST_CLAIMS,
    ) -> None:
        self.app = app
        state = RunningState() if state is None else state
        bounds = (body_timeout, body_min_rate, body_memory)
        uploads = state.keep(
            "uploads", "", bounds, lambda: Uploads(timeout=body_timeout, min_rate=body_min_rate, memory=body_memory)
        )
        self._resolver = Resolver(
            models,
            routes=routes,
            body_limit=body_limit,
            uploads=uploads,
            structure=structure,
            list_claims=list_claims,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope, exchange = Exchange.enter(scope)
        # The first layer that needs the body opens it, and closes it.
        opens = exchange.body is None
        body = self._resolver.open_body(exchange, receive) if exchange.body is None else exchange.body
        try:
            try:
                await self._resolver.resolve(scope, body)
            except GateError as error:
                return await refuse(scope, body.rest, send, error)
            return await self.app(scope, body.receive, send)
        finally:
            if opens:
                self._resolver.close_body(exchange)
