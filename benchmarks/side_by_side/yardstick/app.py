"""The calls: verify, decide, forward, write the line."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from joserfc import jwk, jwt
from msgspec.json import Encoder

from benchmarks.side_by_side.yardstick.connections import Pool
from benchmarks.side_by_side.yardstick.documents import Request, Usage, decode_request, to_chat, to_message
from benchmarks.side_by_side.yardstick.events import Events

JSON = [(b"content-type", b"application/json")]
EVENTS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]

_encode = Encoder().encode


class Yardstick:
    """An ASGI app.  MODEL_PORT: the model server.  KEYS: a file, the keys of tokens.  LOG: a file for the lines."""

    def __init__(self) -> None:
        self._keys = jwk.KeySet.import_key_set(json.loads(Path(os.environ["KEYS"]).read_text()))
        self._registry = jwt.JWTClaimsRegistry(iss={"essential": True, "value": "bench"}, exp={"essential": True})
        self._known: dict[bytes, dict[str, Any]] = {}
        self._log = os.open(os.environ["LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._pool = Pool(int(os.environ["MODEL_PORT"]))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        begun = time.perf_counter()
        claims = self._claims(dict(scope["headers"])[b"authorization"])
        if not claims["allowed"]:
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        request = decode_request(await _body(receive))
        usage = await self._forward(request, send)
        self._write(scope, claims, request, usage, begun)

    def _claims(self, header: bytes) -> dict[str, Any]:
        """Verified once for each token, and decided once."""
        claims = self._known.get(header)
        if claims is None or claims["exp"] < time.time():
            token = jwt.decode(header.partition(b" ")[2].decode(), self._keys, algorithms=["RS256"])
            self._registry.validate(token.claims)
            claims = token.claims
            claims["allowed"] = claims["team"] == "bench" and "gpt-4o-mini" in claims["llms"]["openai"]
            self._known[header] = claims
        return claims

    async def _forward(self, request: Request, send: Any) -> Usage:
        connection = await self._pool.ask(to_chat(request))
        try:
            if not request.stream:
                message, usage = to_message(await connection.read_all())
                headers = [*JSON, (b"content-length", b"%d" % len(message))]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": message})
                return usage
            await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
            events = Events()
            while data := await connection.read():
                if written := events.feed(data):
                    await send({"type": "http.response.body", "body": written, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return events.usage
        finally:
            self._pool.release(connection)

    def _write(self, scope: Any, claims: dict[str, Any], request: Request, usage: Usage, begun: float) -> None:
        line = {
            "http.route": scope["path"],
            "http.response.status_code": 200,
            "gen_ai.provider.name": "openai",
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": request.model,
            "gen_ai.request.max_tokens": request.max_tokens,
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage.completion_tokens,
            "user.id": claims.get("sub"),
            "team": claims["team"],
            "duration_ms": (time.perf_counter() - begun) * 1e3,
        }
        os.write(self._log, _encode(line) + b"\n")


async def _body(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)
