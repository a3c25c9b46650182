"""One call at one target: the attempts until a response begins, and the response as it arrives.

An upstream error may say what to change in the request (protocol/servers/corrections/). The request is then written
again with one correction at a time, and sent again. A correction belongs to this call until the server has responded
to the request that it led to; then it is stored for other calls, except in four cases:

- It changes nothing in what is sent: it is not applied, and the next one is tried.
- The error may quote the request (quotations.py): the author of a prompt could write such an error into it.
- The server sends the same error again after the correction: so that was not the cause.
- It is a limit so small that no model is run with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from copy import copy
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from asgi_llmgate.asgi import outcome_of
from asgi_llmgate.errors import Broken, ClientGone, GateError, ShuttingDown
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Attempt, Target, Usage
from asgi_llmgate.net import HTTPResponse, send_again_if_stale
from asgi_llmgate.net.deadline import timed_out
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.forwarded_request import ForwardedRequest
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.response_format import ResponseStart, document, is_event_stream, json_lines
from asgi_llmgate.protocol.servers.context_window import is_cut
from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Corrections
from asgi_llmgate.protocol.servers.corrections.tool_schemas import next_steps
from asgi_llmgate.protocol.servers.errors.quotations import may_come_from_request
from asgi_llmgate.protocol.sse import MAX_EVENT, SSEReader
from asgi_llmgate.protocol.wire_pairs import PAIRS, UpstreamRequest, WriteContext
from asgi_llmgate.sealing import Sealer
from asgi_llmgate.upstream.connection import Correctable, Upstream

MAX_ATTEMPTS = 8
"""Maximum sends of one request to one server."""

MAX_REWRITES = 16
"""Maximum times that one request is written again: only then it shows whether a correction changes it."""

_SURPLUS = 64 * 1024
"""Bytes that are read after the end of a response, so that its connection can be used again; more closes it."""


class UpstreamCall:
    """A call at a target; use it with `with`, which records how the response ended.

    `handler` handles the response. `is_local`: nothing is sent, because the handler holds the response already.
    `prompt_was_cut`: the server has counted so few tokens that it must have cut the prompt.
    `input_estimate` is the prompt's size in tokens, `query` the client's query string, `sealer` seals what the
    client keeps for the server. `safeguards`: the client asks for verdicts on the tool calls, and gets them.
    `retained` limits what is kept of the response in memory, `max_event` is in bytes. Raises InvalidRequest for a
    call that cannot be translated.

    `with` suppresses ClientGone: there is no one left to respond to.
    """

    def __init__(
        self,
        upstream: Upstream,
        exchange: Exchange,
        target: Target,
        request: MessagesRequest | ForwardedRequest,
        *,
        input_estimate: int,
        query: str = "",
        sealer: Sealer | None = None,
        safeguards: bool = False,
        retained: BufferLimit | None = None,
        max_event: int = MAX_EVENT,
    ) -> None:
        exchange.target = target
        self.exchange = exchange
        self._upstream = upstream
        self._retained = retained or BufferLimit()
        self._max_event = max_event
        # Read once: corrections that other calls store meanwhile are no effect of this call's.
        self._known = upstream.corrections(target.model)
        self._context = WriteContext(
            request=request,
            target=target,
            dialect=upstream.dialect,
            options=upstream.options,
            request_id=exchange.request_id,
            input_estimate=input_estimate,
            retained=self._retained,
            corrections=self._known,
            session_id=exchange.call.session_id if exchange.call else "",
            caller=exchange.identity.key if exchange.identity.subject else (),
            seal=sealer.bound_to(target.backend, target.model, *exchange.identity.key) if sealer else None,
            client_headers=exchange.headers,
            query=query,
            safeguards=safeguards,
        )
        self._own = NO_CORRECTIONS
        self._may_store = True
        self._rewrites = 0
        self._has_pinged = False
        self._use(self._write(NO_CORRECTIONS))
        self.is_local = self._request.is_local

        self.prompt_was_cut = False
        self._has_events = False
        self._last_event_at: float | None = None  # when the last event came, or the head of the response
        self._content_type = ""
        self._has_begun = False
        self._start = ResponseStart()
        self._events: SSEReader | None = None
        self._document = bytearray()
        self._surplus = 0

    async def open(self) -> HTTPResponse:
        """Send the request until a response begins: a 200 that is no refusal. Its body must be read, and it be closed.

        Raises GateError.
        """
        for number in range(1, MAX_ATTEMPTS + 1):
            response = await send_again_if_stale(self._send)
            if isinstance(response, HTTPResponse):
                self._content_type = response.headers.get("content-type", "")
                self._last_event_at = time.monotonic()
                try:
                    first = await anext(response, b"")
                    # An ordinary first chunk is not looked at further.
                    refusal = None if b'"delta"' in first else self._upstream.refusal_in(first)
                except BaseException:
                    await response.aclose()
                    raise
                if refusal is None:
                    response.unread(first)
                    return response
                await response.aclose()
                self.exchange.attempts[-1].error = type(refusal.error).__name__
                response = refusal
            if number == MAX_ATTEMPTS or not await self._correct(response):
                # A copy: the traceback of the original would hold this frame, and with it the request.
                raise copy(response.error)
        raise AssertionError

    def events(self, chunk: bytes) -> Iterable[bytes]:
        """The events that a piece of the response completes; none where the response is one JSON document.

        Must be iterated. Raises Broken for a response or an event that is too large.
        """
        if not self._has_begun:
            chunk = self._begin(chunk)
        if self._events is None:
            self._retained.add(len(chunk))
            self._document += chunk
        elif not self.handler.done and self.handler.held is None:
            events = self._events.feed(chunk)
            if events:
                self._has_events = True
                self._last_event_at = time.monotonic()
            return events
        else:
            self._surplus += len(chunk)
        return ()

    def end(self) -> None:
        """The response has ended."""
        if self._events is None and (self._has_begun or not is_event_stream(self._content_type)):
            body = document(bytes(self._document))
            self._retained.release(len(self._document))  # the handler counts what it keeps of it
            self._document.clear()
            events = json_lines(body)
            if not events:
                self.handler.feed_document(body)
                return
        else:
            events = self._events.end() if self._events is not None else []
        for event in events:
            self.handler.feed_event(event)
        self.handler.end()

    def ping(self) -> None:
        """Write a keep-alive for a client that was sent nothing for a while.

        Raises TimedOut where the server has sent signs of life, and no event, for longer than its timeouts allow: the
        client, which gets pings, would wait for ever.
        """
        timeouts = self._upstream.timeouts
        limit = timeouts.idle if self._has_events else timeouts.first_byte
        if self._last_event_at is not None and limit is not None and time.monotonic() - self._last_event_at > limit:
            raise timed_out("idle" if self._has_events else "first_byte")
        self._has_pinged = True
        self.handler.ping()

    @property
    def is_over(self) -> bool:
        """Whether the rest of the response can be dropped: it ended in an error, or so much follows its end that
        keeping the connection is not worth it."""
        return self.handler.done and (self.handler.error is not None or self._surplus > _SURPLUS)

    def note_first_token(self) -> None:
        """From now on there is no further attempt. Without effect from the second time on."""
        if self.exchange.first_token_at is not None:
            return
        self.exchange.first_token_at = time.monotonic()
        self.exchange.token = None  # only a further attempt could have exchanged it
        self._store_corrections()
        del self._request  # its body may be megabytes, and the response go on for minutes

    def raise_failure(self) -> None:
        if self.handler.done and self.handler.error is not None:
            raise self.handler.error

    def settle(self, ending: ClientGone | ShuttingDown | None = None) -> None:
        """Record the response and its outcome; `ending` is what ended it from outside."""
        exchange, handler = self.exchange, self.handler
        self._note_usage()
        exchange.dropped = (*self._dropped, *handler.changed)
        error = ending or handler.error
        if error is None:
            self._store_corrections()
            self._check_prompt(exchange.usage)
            exchange.settle("ok")
        else:
            exchange.settle_error("upstream_truncated" if isinstance(error, Broken) else outcome_of(error), error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, ClientGone):
            self.settle(error)
        elif isinstance(error, asyncio.CancelledError):  # the server waits no longer
            self.settle(ShuttingDown())
        elif isinstance(error, GateError):
            self._note_usage()
        # The error that the handler keeps has a traceback, which leads to this object, the request and its body.
        del self.handler
        return isinstance(error, ClientGone)

    async def _send(self, *, new_connection: bool) -> HTTPResponse | Correctable:
        """One attempt."""
        exchange, upstream = self.exchange, self._upstream
        attempt = Attempt(self._context.target, time.monotonic())
        exchange.attempts.append(attempt)
        with exchange.tracing.call(exchange, upstream.address) as headers, attempt:
            response = await upstream.send(self._request, exchange, headers, new_connection=new_connection)
        attempt.status = response.status
        if isinstance(response, Correctable):
            attempt.error = type(response.error).__name__
        return response

    def _begin(self, chunk: bytes) -> bytes:
        """The chunk from the byte on that tells the response's format."""
        chunk = self._start.feed(chunk)
        if chunk:
            self._has_begun = True
            if is_event_stream(self._content_type, chunk):
                self._events = SSEReader(max_event=self._max_event, retained=self._retained)
        return chunk

    def _check_prompt(self, usage: Usage | None) -> None:
        """Note a prompt that the server has cut to its window instead of refusing it."""
        estimate = self._context.input_estimate - self._context.request.size.media
        if usage is None or usage.estimated or usage.cache_read or usage.input >= estimate:
            return
        if not is_cut(usage.input, estimate):
            return
        self.prompt_was_cut = True
        self.exchange.dropped = (*self.exchange.dropped, "prompt.cut")
        self._upstream.warn_cut(self._context.target, usage.input, estimate)

    def _note_usage(self) -> None:
        self.exchange.usage, self.exchange.response = self.handler.usage, self.handler.metadata

    def _store_corrections(self) -> None:
        """The server has responded: keep what led to it. Without effect from the second time on."""
        if self._own is not NO_CORRECTIONS and self._may_store:
            shareable = self._own.shareable()
            if shareable != NO_CORRECTIONS:
                self._upstream.keep(self._context.target.model, shareable)
        self._may_store = False

    async def _correct(self, response: Correctable) -> bool:
        """Write the request again; False where no correction of the error changes it."""
        refused = plain = self._request
        corrections = list(next_steps(response.corrections, refused.tools, self._known.merge(self._own)))
        if any(correction.changes.repeats(self._own) for correction in corrections):
            self._may_store = False
        if response.prompt_count.tokens:
            self._context = replace(self._context, prompt_count=response.prompt_count)
            plain = await self._rewrite(self._own)
        for correction in corrections:
            if self._rewrites >= MAX_REWRITES:
                break
            own = self._own.merge(correction.changes)
            written = await self._rewrite(own)
            if written.body not in (plain.body, refused.body):
                self._use(written)
                self._own = own
                self._may_store = self._may_store and not may_come_from_request(correction.phrases, refused.body)
                return True
        self._use(plain)
        return plain.body != refused.body

    async def _rewrite(self, own: Corrections) -> UpstreamRequest:
        self._rewrites += 1
        await asyncio.sleep(0)  # a large request takes a while to write: other requests come in between
        return self._write(own)

    def _write(self, own: Corrections) -> UpstreamRequest:
        context = self._context
        if own is not NO_CORRECTIONS:
            context = replace(context, corrections=self._known.merge(own))
        return PAIRS[self.exchange.wire, self._upstream.dialect.wire](context)

    def _use(self, request: UpstreamRequest) -> None:
        """Send this from now on. Its response is handled accordingly, unless the client has got a part already."""
        self._request = request
        self._dropped = self.exchange.dropped = request.dropped
        if not self._has_pinged:
            self.handler = request.make_handler()
