"""Passthrough: a path that is forwarded to one backend, with the backend's credential and the decided model.

Method, query and body are the client's. The response is forwarded in any format and only read for its token counts. So
a response that breaks off cannot get an error event: the connection is closed, which every client reports as an error.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import parse_qsl

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.asgi import ClientConnection, Draining
from asgi_llmgate.asgi.client_connection import STALL
from asgi_llmgate.errors import ClientGone, GateError, InvalidRequest, ShuttingDown
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Attempt
from asgi_llmgate.net import HTTPResponse, send_again_if_stale
from asgi_llmgate.protocol.buffer_limit import RESPONSE_LIMIT
from asgi_llmgate.protocol.forwarded_request import ForwardedRequest
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.sse import MAX_EVENT
from asgi_llmgate.protocol.usage_meter import UsageMeter
from asgi_llmgate.upstream import Upstream

_JSON = (b"content-type", b"application/json")
"""Not the client's header: with another charset the server would decode another body than the one the rules decided
on."""


class Passthrough:
    """The endpoint for passthrough routes.

    `upstreams` maps a backend's name to it. `client_stall` is in seconds. Up to `answer_limit` bytes of a response are
    kept in memory to read its token counts. `draining` ends the calls that are open when the server stops.
    """

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        *,
        client_stall: float = STALL,
        answer_limit: int = RESPONSE_LIMIT,
        draining: Draining,
    ) -> None:
        self._upstreams = upstreams
        self._client_stall = client_stall
        self._kept = min(MAX_EVENT, answer_limit)
        self._draining = draining

    async def respond(
        self, scope: Scope, exchange: Exchange, request: ForwardedRequest, path: str, receive: Receive, send: Send
    ) -> None:
        """Forward a request; `path` is that under the mount.

        Raises GateError before the response has begun; later only with the outcome settled.
        """
        assert exchange.call is not None
        target = exchange.target = exchange.call.candidates[0]
        upstream = self._upstreams[target.backend]
        body = request.opened.body
        if request.model:
            body = request.opened.replace_values({"model": to_json(target.model)})
        headers = [(b"accept", exchange.headers.get("accept", "*/*").encode("latin-1")), *([_JSON] if body else [])]
        path, query = upstream_path(path), scope.get("query_string", b"").decode("latin-1")
        if any(name == "model" for name, _ in parse_qsl(query, keep_blank_values=True)):
            raise InvalidRequest("model: belongs in the body, not in the query")

        async def forward(*, new_connection: bool) -> HTTPResponse:
            attempt = Attempt(target, time.monotonic())
            exchange.attempts.append(attempt)
            with exchange.tracing.call(exchange, upstream.address) as traced, attempt:
                more = [*headers, *traced]
                opened = await upstream.forward(
                    scope["method"], path, query, more, body, exchange, new_connection=new_connection
                )
            attempt.status = opened.status
            return opened

        try:
            async with ClientConnection(receive, send, stall=self._client_stall) as client, self._draining.call():
                async with await send_again_if_stale(forward) as response:
                    content_type = response.headers.get("content-type", "")
                    meter = UsageMeter(content_type, limit=self._kept)
                    try:
                        await client.start(response.status, _headers(exchange, content_type))
                        async for chunk in response.chunks():
                            exchange.first_token_at = exchange.first_token_at or time.monotonic()
                            meter.feed(chunk)
                            await client.send(chunk)
                        meter.end()
                    finally:  # however it ends, the tokens have been used
                        exchange.usage, exchange.response = meter.usage, meter.metadata
                exchange.settle("ok")
                await client.end()
        except ClientGone as error:
            exchange.settle_error("client_disconnect", error)
        except GateError as error:
            if client.started:
                stopped = isinstance(error, ShuttingDown)
                exchange.settle_error("shutdown" if stopped else "upstream_truncated", error)
            raise


def upstream_path(path: str) -> str:
    """The path under a backend's `base_url`, which usually ends in `/v1`."""
    before, version, rest = path.rpartition("/v1/")
    return f"/{rest}" if version else before or path


def _headers(exchange: Exchange, content_type: str) -> list[tuple[bytes, bytes]]:
    headers = [(b"request-id", exchange.request_id.encode("ascii"))]
    return [*headers, (b"content-type", content_type.encode("latin-1"))] if content_type else headers
