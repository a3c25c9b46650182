from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from asgi_llmgate import Backend, Exchange, ModelRow, ModelTable, TranslationApp
from asgi_llmgate.net import Timeouts
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.route import Route
from asgi_llmgate.routing.routes import ROUTES
from asgi_llmgate.testing.driver import Reply, call
from tests.helpers.wire_server import Respond, WireServer


class Gate:
    """An app in memory with a WireServer behind it. `exchange` is that of the last call."""

    def __init__(self, app: TranslationApp, server: WireServer) -> None:
        self.app = app
        self.server = server
        self.exchange = Exchange()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope, self.exchange = Exchange.enter(scope)
        await self.app(scope, receive, send)

    async def ask(self, *, stream: bool = False, path: str = "/v1/messages", **body: Any) -> Reply:
        """Ask for a response to "hello"."""
        asked = {"model": "m", "max_tokens": 200, "messages": [{"role": "user", "content": "hello"}]}
        return await call(self, "POST", path, json={**asked, **({"stream": True} if stream else {}), **body})


MakeGate = Callable[..., Awaitable[Gate]]


@pytest.fixture
async def gate() -> AsyncIterator[MakeGate]:
    """`await gate(respond, dialect="openai", path="/v1", **options)`: a gate whose server responds with `respond`."""
    async with AsyncExitStack() as stack:

        async def make(
            respond: Respond,
            *,
            dialect: str = "openai",
            path: str = "/v1",
            timeouts: Timeouts = Timeouts(),  # noqa: B008
            **options: Any,
        ) -> Gate:
            server = await stack.enter_async_context(WireServer(respond))
            backend = Backend(base_url=server.url + path, dialect=DIALECTS[dialect], timeouts=timeouts)
            models = ModelTable([ModelRow("*", ("b",))], {"b": dialect})
            routes = {
                **ROUTES,
                "/v1/chat/completions": Route("completions"),
                "/v1/embeddings": Route("passthrough", "b"),
            }
            app = TranslationApp({"b": backend}, models=models, routes=routes, **options)
            stack.push_async_callback(app.aclose)
            return Gate(app, server)

        yield make
