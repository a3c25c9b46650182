"""One call carried to a model server, and its answer carried back.

A Messages call and a chat completions call go the same way; how each is written for a server, and what handles its
response, is the table in protocol/wire_pairs.py.  Three rules shape it:

- The status of a stream waits for the upstream's first event, PEEK seconds at most: an upstream that fails at once
  gives an HTTP error, which a client retries in full.  After that the stream opens, and silence is filled with pings.
- After the first message nothing is raised any more: a failure is an `event: error`, and the stream ends.
- The outcome is settled before the last body message goes out, because the record is written when it passes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from asgi_llmgate._types import Receive, Send
from asgi_llmgate.asgi import ClientConnection, Draining, Paced, outcome_of
from asgi_llmgate.errors import Broken, ClientGone, GateError, NotFound, ShuttingDown
from asgi_llmgate.exchange import Call, Exchange, Target, Wire
from asgi_llmgate.protocol.buffer_limit import RESPONSE_LIMIT, BufferLimit
from asgi_llmgate.protocol.forwarded_request import ForwardedRequest
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.response_handler import ResponseHandler
from asgi_llmgate.protocol.sse import MAX_EVENT, SSEReader, document, is_event_stream
from asgi_llmgate.protocol.token_estimate import Estimator
from asgi_llmgate.protocol.wire_pairs import can_serve
from asgi_llmgate.upstream import Asking, Attempt, Upstream

PEEK = 10.0
"""Seconds that the status of a stream waits for the upstream's first event."""

PING_INTERVAL = 12.0
"""Seconds of silence after which a client gets a ping.  Claude Code gives a stream up after 300 without a byte."""

_REST = 64 * 1024
"""Bytes that are read after the end of an answer, so that its connection can be used again; more closes it."""

_JSON = (b"content-type", b"application/json")
_SSE = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


class Dispatch:
    """Answers calls.  `upstreams` maps a backend's name to it, `estimator` learns from what they count; times are
    seconds; `answer_limit` is how many bytes of one answer may be kept at a time; `draining` ends the calls that are
    open when the server stops; `debug` names what was dropped in a header of the answer."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        *,
        estimator: Estimator,
        ping_interval: float = PING_INTERVAL,
        client_stall: float = 60.0,
        answer_limit: int = RESPONSE_LIMIT,
        draining: Draining,
        debug: bool = False,
    ) -> None:
        self._upstreams = upstreams
        self._estimator = estimator
        self._every = min(PEEK, ping_interval)
        self._client_stall = client_stall
        self._answer_limit = answer_limit
        self._draining = draining
        self._debug = debug

    def choose(self, call: Call, wire: Wire) -> tuple[Target, Upstream]:
        """The first target left that can answer on a wire.  Raises NotFound."""
        for target in call.candidates:
            upstream = self._upstreams[target.backend]
            if can_serve(wire, upstream.dialect.wire):
                return target, upstream
        raise NotFound(f"model: {call.asked.model[:128]} (not to be had in the format of this path)")

    async def answer(
        self,
        exchange: Exchange,
        request: MessagesRequest | ForwardedRequest,
        receive: Receive,
        send: Send,
        *,
        query: str = "",
    ) -> None:
        """Carry one call.  Raises GateError, and only before the answer has begun."""
        assert exchange.call is not None
        target, upstream = self.choose(exchange.call, exchange.wire)
        exchange.target = target
        estimate = self._estimator.estimate(request.size, target.model, exchange.identity.who)
        retained = BufferLimit(self._answer_limit)
        asking = Asking(exchange, request, target, estimate, query, retained=retained)
        relay = _Relay(exchange, Attempt(upstream, asking), retained, min(MAX_EVENT, self._answer_limit))
        try:
            async with ClientConnection(receive, send, stall=self._client_stall) as client:
                await (self._stream if request.stream else self._whole)(relay, client)
        except ClientGone as error:
            relay.settle(error)
        except asyncio.CancelledError:  # the server will not wait any longer
            relay.settle(ShuttingDown())
            raise
        except GateError:
            relay.note()
            raise
        finally:
            relay.let_go()
        if exchange.usage is not None and not exchange.usage.estimated:
            self._estimator.observe(target.model, request.size, exchange.usage.input, exchange.identity.who)

    async def _whole(self, relay: _Relay, client: ClientConnection) -> None:
        async with self._draining.call(), aclosing(relay.chunks()) as chunks:
            async for chunk in chunks:
                relay.feed(chunk)
                if relay.spent:
                    break
        relay.finish()
        relay.raise_failure()
        relay.settle()
        await client.start(200, self._headers(relay.exchange, _JSON))
        await client.end(relay.carrier.take())

    async def _stream(self, relay: _Relay, client: ClientConnection) -> None:
        try:
            async with (
                self._draining.call(),
                aclosing(relay.chunks()) as source,
                Paced(source, every=self._every) as chunks,
            ):
                async for chunk in chunks:
                    if chunk is None:
                        relay.carrier.ping()
                    else:
                        relay.feed(chunk)
                    await self._pass_on(relay, client)
                    if client.ended and (chunk is None or relay.spent):
                        break
            relay.finish()
        except ClientGone:
            raise
        except GateError as error:
            if isinstance(error, ShuttingDown):
                client.hurry()
            relay.carrier.fail(error)
        await self._pass_on(relay, client)

    async def _pass_on(self, relay: _Relay, client: ClientConnection) -> None:
        """What is ready goes to the client; the answer's end ends the response, whatever the upstream still does."""
        data = relay.carrier.take()
        if client.ended or not (data or relay.done):
            return
        if not client.started:
            relay.raise_failure()
            await client.start(200, self._headers(relay.exchange, *_SSE))
        if relay.done:
            relay.settle()
            await client.end(data)
        else:
            await client.send(data)

    def _headers(self, exchange: Exchange, *headers: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        more = [(b"request-id", exchange.request_id.encode("ascii"))]
        if self._debug and exchange.dropped:
            more.append((b"x-llmgate-dropped", ", ".join(exchange.dropped).encode("ascii", "replace")))
        return [*headers, *more]


class _Relay:
    """One answer on its way through its carrier, in the form the upstream gives it: a stream, or one JSON text."""

    def __init__(self, exchange: Exchange, attempt: Attempt, retained: BufferLimit, max_event: int) -> None:
        self.exchange = exchange
        self._attempt = attempt
        self._retained = retained
        self._max_event = max_event
        self._carrier: ResponseHandler | None = None
        self._content_type = ""
        self._begun = False
        self._reader: SSEReader | None = None
        self._json = bytearray()
        self._rest = 0

    @property
    def carrier(self) -> ResponseHandler:
        """Made when it is first needed: opening may rewrite the request, and with it what is expected of the answer."""
        if self._carrier is None:
            self._carrier = self._attempt.carrier()
        return self._carrier

    @property
    def done(self) -> bool:
        return self._carrier is not None and self._carrier.done

    @property
    def spent(self) -> bool:
        """Whether the answer has ended in a way that makes nothing of the upstream's bytes worth waiting for."""
        return self.done and (self.carrier.error is not None or self._rest > _REST)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The upstream's bytes; none where the answer is our own.  Raises UpstreamError."""
        if self._attempt.outgoing.is_local:
            return
        async with await self._attempt.open() as answer:
            self._content_type = answer.headers.get("content-type", "")
            async for chunk in answer.chunks():
                yield chunk

    def feed(self, chunk: bytes) -> None:
        """Take in a piece of the upstream's answer.  Raises Broken where it is larger than anything sane."""
        if not self._begun:
            chunk = self._begin(chunk)
        if self._reader is None:
            self._retained.add(len(chunk))
            self._json += chunk
            return
        carrier = self.carrier
        if carrier.done:
            self._rest += len(chunk)
            return
        for event in self._reader.feed(chunk):
            carrier.feed_event(event)
        if self.exchange.first_token_at is None and carrier.started:
            self.exchange.first_token_at = time.monotonic()
            self.exchange.token = None  # no other attempt will be made, so nobody exchanges it any more
            self._attempt.answered()

    def _begin(self, chunk: bytes) -> bytes:
        """The chunk without white space before the answer, whose first byte helps to tell what it is."""
        chunk = chunk.lstrip()
        if chunk:
            self._begun = True
            if is_event_stream(self._content_type, chunk):
                self._reader = SSEReader(max_event=self._max_event, retained=self._retained)
        return chunk

    def finish(self) -> None:
        """The upstream's bytes have ended; or nobody was asked, and the answer is our own."""
        if self._attempt.outgoing.is_local:
            return
        if self._reader is None and (self._begun or not is_event_stream(self._content_type)):
            body = document(bytes(self._json))
            self._retained.release(len(self._json))  # what becomes of it is counted anew
            self._json.clear()
            self.carrier.feed_document(body)
            return
        for event in self._reader.end() if self._reader is not None else ():
            self.carrier.feed_event(event)
        self.carrier.end()

    def raise_failure(self) -> None:
        if self.carrier.done and self.carrier.error is not None:
            raise self.carrier.error

    def let_go(self) -> None:
        """Of the error that the carrier keeps, whose traceback leads here, and so to the request and its body."""
        self._carrier = None

    def note(self) -> None:
        """Write down what has been used so far."""
        if self._carrier is not None:
            self.exchange.usage, self.exchange.answer = self._carrier.usage, self._carrier.metadata

    def settle(self, ending: ClientGone | ShuttingDown | None = None) -> None:
        """Write down what the answer was, and how it ended: by itself, or in the middle."""
        exchange, carrier = self.exchange, self.carrier
        self.note()
        exchange.dropped = (*exchange.dropped, *carrier.changed)
        error = ending or carrier.error
        if error is None:
            self._attempt.answered()
            exchange.settle("ok")
        else:
            exchange.settle_error("upstream_truncated" if isinstance(error, Broken) else outcome_of(error), error)
