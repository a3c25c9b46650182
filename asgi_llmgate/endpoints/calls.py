"""A call carried to a model server, and the response carried back.

Messages calls and chat completions calls take the same path; protocol/wire_pairs.py is the table of how each is written
for a server and what handles the response. Five rules shape this module:

- The status of a stream waits for the first event for the client, at most PEEK seconds: an upstream that fails at once
  gives an HTTP error, which a client retries in full. After that the stream opens, and silence is filled with pings.
- A response that has said why it stopped is over GRACE seconds later, also where the server neither sends `[DONE]` nor
  closes the connection. That is then closed: what else would come on it is unknown.
- After the first message nothing is raised: a failure is an `event: error`, and the stream ends.
- Where the client asks for verdicts on the tool calls, the end of the message waits for them. The upstream response is
  closed by then.
- The outcome is settled before the last body message is sent, because the usage record is written when that passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.asgi import ClientConnection, Draining, Paced
from asgi_llmgate.asgi.client_connection import STALL
from asgi_llmgate.errors import ClientGone, GateError, NotFound, ShuttingDown
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.buffer_limit import RESPONSE_LIMIT, BufferLimit
from asgi_llmgate.protocol.forwarded_request import ForwardedRequest
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.messages.safeguards import classifier_context
from asgi_llmgate.protocol.response_handler import Held
from asgi_llmgate.protocol.sse import MAX_EVENT
from asgi_llmgate.protocol.token_estimate import Estimator
from asgi_llmgate.protocol.wire_pairs import can_serve
from asgi_llmgate.sealing import Sealer
from asgi_llmgate.upstream import Upstream, UpstreamCall

if TYPE_CHECKING:
    from asgi_llmgate.endpoints.verdicts import Judge, Verdicts

PEEK = 10.0
"""Seconds that the status of a stream waits for the first event, unless pings come sooner."""

PING_INTERVAL = 12.0
"""Seconds of silence after which a client gets a ping. Claude Code gives a stream up after 300 without a byte."""

GRACE = 2.0
"""Seconds for the rest of a response whose stop reason has come: the usage, and the end of the connection's use."""

SHORT_GRACE = 0.1
"""Seconds for the end of the connection's use where the client waits for verdicts meanwhile."""

_JSON = (b"content-type", b"application/json")
_SSE = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


class Calls:
    """The endpoint for calls.

    `upstreams` maps a backend's name to it. `estimator` learns from the counts of the model servers, `sealer` seals
    what clients keep for them. Times are seconds; `grace` is that for the rest of a response whose stop reason has
    come. `answer_limit` is how many bytes of one response may be kept in memory at a time. `draining` ends the calls
    that are open when the server stops. With `debug` a response header names the dropped fields. `safeguards` decides
    about the tool calls of a response, where the request asks for that.
    """

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        *,
        estimator: Estimator,
        sealer: Sealer | None = None,
        ping_interval: float = PING_INTERVAL,
        grace: float = GRACE,
        client_stall: float = STALL,
        answer_limit: int = RESPONSE_LIMIT,
        draining: Draining,
        debug: bool = False,
        safeguards: Judge | None = None,
    ) -> None:
        self._upstreams = upstreams
        self._estimator = estimator
        self._sealer = sealer
        self._ping_interval = ping_interval
        self._grace = grace
        self._client_stall = client_stall
        self._answer_limit = answer_limit
        self._draining = draining
        self._debug = debug
        self._safeguards = safeguards

    async def respond(
        self,
        scope: Scope,
        exchange: Exchange,
        request: MessagesRequest | ForwardedRequest,
        receive: Receive,
        send: Send,
        *,
        query: str = "",
    ) -> None:
        """Carry one call. Raises GateError, and only before the response has begun."""
        # Failover will walk all targets: an UpstreamError before `client.started` goes on to the next one.
        for target in self._targets(exchange)[:1]:
            caller = exchange.identity.key
            estimate = self._estimator.estimate(request.size, target.model, caller)
            verdicts = self._verdicts(scope, exchange, request)
            call = UpstreamCall(
                self._upstreams[target.backend],
                exchange,
                target,
                request,
                input_estimate=estimate,
                query=query,
                sealer=self._sealer,
                safeguards=verdicts is not None,
                retained=BufferLimit(self._answer_limit),
                max_event=min(MAX_EVENT, self._answer_limit),
            )
            with call:
                async with ClientConnection(receive, send, stall=self._client_stall) as client:
                    await (self._stream if request.stream else self._send_document)(call, client, verdicts)
            if exchange.usage is not None and not exchange.usage.estimated and not call.prompt_was_cut:
                self._estimator.observe(target.model, request.size, exchange.usage.input, caller)

    def _targets(self, exchange: Exchange) -> list[Target]:
        """The candidates whose servers can respond in the client's wire, best first. Raises NotFound."""
        call, upstreams = exchange.call, self._upstreams
        assert call is not None
        targets = [
            target for target in call.candidates if can_serve(exchange.wire, upstreams[target.backend].dialect.wire)
        ]
        if not targets:
            raise NotFound(f"model: {call.request.model[:128]} (not available in the format of this path)")
        return targets

    def _verdicts(
        self, scope: Scope, exchange: Exchange, request: MessagesRequest | ForwardedRequest
    ) -> Verdicts | None:
        """Where the client asks for verdicts, and there is someone to ask for them."""
        if self._safeguards is None or isinstance(request, ForwardedRequest):
            return None
        if classifier_context(request.fields) is None:
            return None
        from asgi_llmgate.endpoints.verdicts import Verdicts

        return Verdicts(self._safeguards, scope, exchange, request)

    async def _send_document(self, call: UpstreamCall, client: ClientConnection, verdicts: Verdicts | None) -> None:
        if not call.is_local:
            async with self._draining.call(), Paced(call.open) as chunks:
                async for chunk in chunks:
                    assert chunk is not None
                    for event in call.events(chunk):
                        call.handler.feed_event(event)
                    if call.exchange.first_token_at is None and call.handler.started:
                        call.note_first_token()
                    if call.handler.stopped:
                        if call.is_over:
                            break
                        chunks.end_after(self._grace if call.handler.held is None else SHORT_GRACE)
            call.end()
        call.raise_failure()
        if verdicts is not None and (held := call.handler.held) is not None:
            async with self._draining.call():
                await verdicts.find(held)
            self._release(call, verdicts)
        call.settle()
        await client.start(200, self._headers(call.exchange, _JSON))
        await client.end(call.handler.take())

    async def _stream(self, call: UpstreamCall, client: ClientConnection, verdicts: Verdicts | None) -> None:
        try:
            if not call.is_local:
                every = self._ping_interval
                paced = Paced(call.open, every=every, first=min(PEEK, every), sent_at=client.sent_at)
                async with self._draining.call(), paced as chunks:
                    async for chunk in chunks:
                        if chunk is None:
                            call.ping()
                        else:
                            for event in call.events(chunk):
                                call.handler.feed_event(event)
                            if call.exchange.first_token_at is None and call.handler.started:
                                call.note_first_token()
                        if client.started and not call.handler.done:  # as _flush, without its coroutine
                            if data := call.handler.take():
                                await client.send(data)
                        else:
                            await self._flush(call, client)
                        if call.handler.stopped:
                            if client.ended and call.is_over:
                                break
                            chunks.end_after(self._grace if call.handler.held is None else SHORT_GRACE)
                call.end()
        except ClientGone:
            raise
        except GateError as error:
            if isinstance(error, ShuttingDown):
                client.hurry()
            if call.handler.held is None:  # else the response is complete
                call.handler.fail(error)
        await self._flush(call, client)
        if verdicts is not None and (held := call.handler.held) is not None:
            await self._await_verdicts(call, client, verdicts, held)
            await self._flush(call, client)

    async def _await_verdicts(
        self, call: UpstreamCall, client: ClientConnection, verdicts: Verdicts, held: Held
    ) -> None:
        paced = Paced(partial(verdicts.open, held), every=self._ping_interval, sent_at=client.sent_at)
        try:
            async with self._draining.call(), paced as silences:
                async for _ in silences:
                    call.handler.ping()
                    await self._flush(call, client)
            self._release(call, verdicts)
        except ShuttingDown as error:
            # Not a verdict of its own: a rule may have flagged a call already.
            client.hurry()
            call.handler.fail(error)

    def _release(self, call: UpstreamCall, verdicts: Verdicts) -> None:
        exchange = call.exchange
        exchange.verdicts = verdicts.found
        call.handler.release(verdicts.found)

    async def _flush(self, call: UpstreamCall, client: ClientConnection) -> None:
        """Send what is ready. The end of the message ends the response, whatever the upstream still does."""
        data = call.handler.take()
        if client.ended or not (data or call.handler.done):
            return
        if not client.started:
            call.raise_failure()
            await client.start(200, self._headers(call.exchange, *_SSE))
        if call.handler.done:
            call.settle()
            await client.end(data)
        else:
            await client.send(data)

    def _headers(self, exchange: Exchange, *headers: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        more = [(b"request-id", exchange.request_id.encode("ascii"))]
        if self._debug and exchange.dropped:
            more.append((b"x-llmgate-dropped", ", ".join(exchange.dropped).encode("ascii", "replace")))
        return [*headers, *more]
