"""No framework, no mount: the gateway is the app, but for one page."""

from __future__ import annotations

from typing import Any

from gate import gateway, pid

from asgi_llmgate.asgi import respond

gate = gateway()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope.get("path") == "/pid":
        await respond(send, 200, [], pid().encode())
    else:
        await gate(scope, receive, send)
