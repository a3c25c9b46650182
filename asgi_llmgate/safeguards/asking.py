"""One call of the gateway's own to a model, with a record of its own."""

from __future__ import annotations

import asyncio
import time

from asgi_llmgate.asgi import outcome_of
from asgi_llmgate.concurrency.cancellation import CancelScope
from asgi_llmgate.errors import ClientGone, GateError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Call, Target
from asgi_llmgate.net.deadline import timed_out
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.messages.request import SAFEGUARD, MessagesRequest
from asgi_llmgate.protocol.token_estimate import Estimator
from asgi_llmgate.upstream import Upstream, UpstreamCall

_RESPONSE_LIMIT = 256 * 1024
"""Bytes of a response that may be kept in memory."""


async def ask(
    upstream: Upstream,
    exchange: Exchange,
    target: Target,
    request: MessagesRequest,
    *,
    seconds: float,
    estimator: Estimator,
) -> bytes:
    """The Message, as JSON, that a target responds with to a request of the gateway's own, made for `exchange`.

    Raises GateError: TimedOut after `seconds`.
    """
    asked = exchange.call
    call = Call(request, (target,), request_class=SAFEGUARD)
    if asked is not None:
        call.session_id, call.agent_id = asked.session_id, asked.agent_id
    further = exchange.further(call)
    caller = exchange.identity.key
    try:
        upstream_call = UpstreamCall(
            upstream,
            further,
            target,
            request,
            input_estimate=estimator.estimate(request.size, target.model, caller),
            retained=BufferLimit(_RESPONSE_LIMIT),
            max_event=_RESPONSE_LIMIT,
        )
        with upstream_call:
            document = await _response(upstream_call, seconds)
        usage = further.usage
        if usage is not None and not usage.estimated and not upstream_call.prompt_was_cut:
            estimator.observe(target.model, request.size, usage.input, caller)
        return document
    except GateError as error:
        further.settle_error(outcome_of(error), error)
        raise
    finally:
        further.record(further)


async def _response(call: UpstreamCall, seconds: float) -> bytes:
    due = time.monotonic() + seconds
    try:
        with CancelScope() as scope:
            # `time.monotonic` is the clock of asyncio's own event loops, but not of every loop.
            loop = asyncio.get_running_loop()
            end = loop.time() + due - time.monotonic()
            scope.cancel_when(lambda: end, lambda: timed_out("total"))
            async with await call.open() as response:
                async for chunk in response:
                    for event in call.events(chunk):
                        call.handler.feed_event(event)
                    if call.exchange.first_token_at is None and call.handler.started:
                        call.note_first_token()
                    if call.handler.done:  # a server may keep the connection open
                        break
            call.end()
    except asyncio.CancelledError:
        # It is the client that ends a turn, but for the rare case of a server that stops, whose turn's record says so.
        call.settle(ClientGone())
        raise
    call.raise_failure()
    call.settle()
    return call.handler.take()
