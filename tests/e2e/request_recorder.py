"""What clients ask of a gateway, kept as they sent it."""

from __future__ import annotations

import json
from typing import Any

from asgi_llmgate._types import ASGIApp, Message, Receive, Scope, Send
from asgi_llmgate.request_headers import read_headers
from asgi_llmgate.testing.model_script import ReceivedRequest


class Witness:
    """Passes requests on to `app` and keeps them in `requests`, in the order in which they were read or answered."""

    def __init__(self, app: ASGIApp) -> None:
        self.requests: list[ReceivedRequest] = []
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        pieces: list[bytes] = []
        reading = True

        async def hear() -> Message:
            nonlocal reading
            message = await receive()
            if message["type"] == "http.request":
                pieces.append(message.get("body", b""))
                reading = message.get("more_body", False)
                if not reading:
                    self._keep(scope, b"".join(pieces))
            return message

        await self._app(scope, hear, send)
        if reading:
            self._keep(scope, b"")

    def _keep(self, scope: Scope, content: bytes) -> None:
        body: Any = json.loads(content) if content else {}
        self.requests.append(ReceivedRequest(scope["method"], scope["path"], read_headers(scope), content, body))
