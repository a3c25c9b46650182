"""Whole answers: a plain one, and a refusal, which every layer makes in the same way.

The order in a refusal is what matters.  First the outcome is settled, because `http.disconnect` follows every answer
and would be taken for the reason.  Then a bounded part of the body is read and thrown away, because a client that is
still uploading may see a broken pipe instead of the answer.  Then the answer goes out.
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
"""Seconds that the client of a whole answer may take to read it."""

POLICY_VIOLATION = 1008
"""The close code for a refused websocket (RFC 6455 section 7.4.1); before the accept servers turn it into a 403."""


async def respond(send: Send, status: int, headers: Headers, body: bytes, *, head: bool = False) -> None:
    """Send a whole answer.  `content-length` is added; with `head` the body is left out (RFC 9110 section 9.3.2).

    A client that has left, or does not read, is no error here: nobody waits for the answer.
    """
    headers = list(headers)
    if status != 204:  # RFC 9110 section 8.6
        headers.append((b"content-length", b"%d" % len(body)))
    with suppress(OSError):
        await in_time(send({"type": "http.response.start", "status": status, "headers": headers}))
        await in_time(send({"type": "http.response.body", "body": b"" if head else body}))


async def in_time(sending: Awaitable[None], seconds: float = STALL) -> None:
    """A `send` to a client that may have stopped reading, which would wait for ever.  Raises TimeoutError, an OSError.

    The server closes the connection of an app that leaves an answer unfinished.
    """
    async with asyncio.timeout(seconds):
        await sending


async def refuse(scope: Scope, receive: Receive, send: Send, error: GateError) -> None:
    """Answer with the error: status, headers and the exchange's wire's envelope as the table in `errors` says; settles
    the exchange.

    `receive` must be `Body.rest` where a Body has been made: the server's own would wait for a body that is gone.
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
    """What is no HTTP: a websocket is closed before it is open.  Raises NotImplementedError for anything else, which is
    how an ASGI app says that it does not know a protocol."""
    if scope["type"] != "websocket":
        raise NotImplementedError(f"HTTP is served here, not {str(scope['type'])[:100]!r}")
    with suppress(OSError):
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})


def outcome_of(error: GateError) -> Outcome:
    """What an exchange that ends in this error is recorded as."""
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
    # Who sends `expect` holds the body back until it is told to go on, which reading would do: RFC 9110 section 10.1.1.
    # Who is too slow has had the time.
    if "expect" in exchange.headers or isinstance(error, BodyTooSlow):
        return False
    return await drain(receive)
