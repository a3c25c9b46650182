"""The terminal app as tests of calls use it."""

from __future__ import annotations

from typing import Any

from asgi_llmgate import Exchange, TranslationApp
from asgi_llmgate.testing.driver import Reply, call


class Spy:
    """Keeps the exchange, as a UsageMiddleware would."""

    def __init__(self, app: TranslationApp) -> None:
        self.app = app
        self.exchange = Exchange()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope, self.exchange = Exchange.enter(scope)
        await self.app(scope, receive, send)


def asking(stream: bool = False, **more: Any) -> dict[str, Any]:
    return {
        "model": "claude-opus-5",
        "max_tokens": 200,
        "stream": stream,
        "messages": [{"role": "user", "content": "hello"}],
        **more,
    }


async def ask(app: Any, **body: Any) -> Reply:
    return await call(app, "POST", "/v1/messages", json=asking(**body))
