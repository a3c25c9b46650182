"""Complete responses: a plain one, and a refusal, which all layers send in the same way.

The order in a refusal matters. First the outcome is settled, because `http.disconnect` follows every response and would
be taken for the reason. Then a limited part of the body is read and discarded, because a client that is still uploading
may get a broken pipe in place of the response. Then the response is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from contextlib import suppress

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.asgi.body import drain
from asgi_llmgate.errors import (
    BodyTooSlow,
    ClientGone,
    GateError,
    InternalError,
    Refusal,
    ShuttingDown,
    UpstreamError,
    row_for,
)
from asgi_llmgate.exchange import Exchange, Outcome
from asgi_llmgate.protocol.error_bodies import error_body, error_headers

Headers = Iterable[tuple[bytes, bytes]]

STALL = 60.0
"""Seconds that a client may take to read a complete response."""

POLICY_VIOLATION = 1008
"""The close code of a refused websocket (RFC 6455 section 7.4.1); servers send 403 if it is not accepted yet."""


async def respond(send: Send, status: int, headers: Headers, body: bytes, *, head: bool = False) -> None:
    """Send a complete response. `content-length` is added; with `head` the body is left out (RFC 9110 section 9.3.2).

    A client that has disconnected, or does not read, is not an error here.
    """
    headers = list(headers)
    if status != 204:  # RFC 9110 section 8.6
        headers.append((b"content-length", b"%d" % len(body)))
    with suppress(OSError):
        await in_time(send({"type": "http.response.start", "status": status, "headers": headers}))
        await in_time(send({"type": "http.response.body", "body": b"" if head else body}))


async def in_time(sending: Awaitable[None], seconds: float = STALL) -> None:
    """Await a `send` for a limited time, since the client may have stopped reading. Raises TimeoutError, an OSError.

    The server closes the connection of an app that leaves a response unfinished.
    """
    async with asyncio.timeout(seconds):
        await sending


async def refuse(scope: Scope, receive: Receive, send: Send, error: GateError) -> None:
    """Send the error as a response and settle the exchange. Status, headers and envelope are those of errors.py.

    `receive` must be `Body.rest` where there is a Body: the server's own would wait for a body that has been read.
    """
    _, exchange = Exchange.enter(scope)
    exchange.settle_error(outcome_of(error), error)
    if scope["type"] == "websocket":
        await refuse_other(scope, send)
        return
    if isinstance(error, ClientGone):
        return
    headers = error_headers(error, exchange.request_id)
    if not await _drained(exchange, receive, error) and scope.get("http_version", "1.1").startswith("1"):
        headers.append((b"connection", b"close"))
    body = error_body(error, exchange.request_id, exchange.wire)
    await respond(send, row_for(error).status, headers, body, head=scope["method"] == "HEAD")


async def refuse_other(scope: Scope, send: Send) -> None:
    """Refuse what is not HTTP: a websocket is closed before it is accepted.

    Raises NotImplementedError for anything else, by which an ASGI app says that it does not support a protocol.
    """
    if scope["type"] != "websocket":
        raise NotImplementedError(f"HTTP is served here, not {str(scope['type'])[:100]!r}")
    with suppress(OSError):
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})


def outcome_of(error: GateError) -> Outcome:
    """The outcome of an exchange that ends in this error."""
    if isinstance(error, ClientGone):
        return "client_disconnect"
    if isinstance(error, ShuttingDown):
        return "shutdown"
    if isinstance(error, UpstreamError):
        return "upstream_error"
    if isinstance(error, Refusal) and not isinstance(error, InternalError):
        return "refused"
    return "error"


async def _drained(exchange: Exchange, receive: Receive, error: GateError) -> bool:
    # A client that sends `expect` holds the body back until the server asks for it, which reading does (RFC 9110
    # section 10.1.1). A client that was too slow has had its time.
    if "expect" in exchange.headers or isinstance(error, BodyTooSlow):
        return False
    return await drain(receive)
