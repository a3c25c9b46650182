"""A token endpoint and an introspection endpoint that answer what the test says, and keep what they were asked."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus


@dataclass(frozen=True)
class Asked:
    path: str
    form: Mapping[str, str]
    authorization: str

    @property
    def basic(self) -> tuple[str, str]:
        """Client id and secret of the authorization header."""
        name, _, secret = base64.b64decode(self.authorization.removeprefix("Basic ")).decode().partition(":")
        return unquote_plus(name), unquote_plus(secret)


Answer = tuple[int, Any]


class TokenServer:
    """An ASGI app.  `answer` gives status and body (JSON unless bytes); without it: issued-1, issued-2, ..."""

    def __init__(self, answer: Callable[[Asked], Answer] | None = None) -> None:
        self.asked: list[Asked] = []
        self.answer = answer or self.issue

    def issue(self, asked: Asked) -> Answer:
        return 200, {"access_token": f"issued-{len(self.asked)}", "token_type": "Bearer", "expires_in": 300}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = dict(scope["headers"])
        form = dict(parse_qsl(body.decode(), strict_parsing=True))
        asked = Asked(scope["path"], form, headers.get(b"authorization", b"").decode())
        self.asked.append(asked)
        status, content = self.answer(asked)
        location = [(b"location", b"https://elsewhere.test/")] if status == 302 else []
        await send({"type": "http.response.start", "status": status, "headers": location})
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        await send({"type": "http.response.body", "body": raw})
