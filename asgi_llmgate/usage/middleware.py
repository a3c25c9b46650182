"""UsageMiddleware: the outermost layer. It opens the exchange and writes exactly one record of it, whatever happens.

    the response ends by             outcome, unless an inner layer has settled it      record is written
    -------------------------------  -------------------------------------------------  --------------------
    its last message                 ok, refused (4xx), error (5xx)                     before that message
    an exception before the start    error; a 500 is sent                               before its last message
    an exception in a stream         error; `event: error` is sent                      before its last message
    any other exception              error; raised, so that the server cuts it off      at the end
    the app returning too early      like an exception                                  like it
    the client disconnecting,        client_disconnect                                  at the end
      or no longer reading
    cancellation before the end      shutdown; 503 or `event: error`, if time is left   before its last message

The record precedes the last message: a client that has read the whole response finds its line in the log. For the same
reason `http.disconnect`, which servers also report after a complete response, is not mistaken for a disconnect in the
middle of one.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from asgi_llmgate._types import ASGIApp, Message, Receive, Scope, Send
from asgi_llmgate.asgi.responses import in_time, outcome_of, refuse
from asgi_llmgate.errors import TRY_AGAIN, ClientGone, GateError, InternalError, SettingsError, ShuttingDown, row_for
from asgi_llmgate.exchange import UNTRACED, Exchange, Tracing
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.protocol.error_bodies import error_event
from asgi_llmgate.usage.record import NAMES, NO_FIELDS, Cost, Field, UsageRecord
from asgi_llmgate.usage.sinks import Sink, Sinks
from asgi_llmgate.usage.tracebacks import format_traceback
from asgi_llmgate.usage.verdicts import VerdictAudit

log = logging.getLogger("llmgate")

_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_LAST_SECONDS = 1.0
"""Seconds that the end of a broken response, or of a cancelled request, may take."""

_NO_MORE: Message = {"type": "http.request", "body": b"", "more_body": False}


class UsageMiddleware:
    """Writes one UsageRecord per HTTP request to every sink.

    `fields` are further values for each record: name -> function of the Exchange. `cost` gives the cost of a call in US
    dollars, `user` the name of the caller in reports, in place of the token's subject, `audit` what a record says about
    the verdicts on tool calls. `tracing` follows the calls to model servers until their record is written. Of two such
    layers around one request the inner one writes. Raises SettingsError for a field name that a record cannot have.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        sinks: Sequence[Sink],
        fields: Mapping[str, Field] = NO_FIELDS,
        cost: Cost | None = None,
        user: Field | None = None,
        audit: VerdictAudit | None = None,
        tracing: Tracing = UNTRACED,
    ) -> None:
        mistakes = Mistakes()
        for name in fields:
            with mistakes.under(f"usage.fields.{name}"):
                _check_name(name)
        mistakes.raise_if_any()
        self.app = app
        self._sinks = Sinks(sinks)
        self._fields = dict(fields)
        self._cost = cost
        self._user = user
        self._audit = audit
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope, exchange = Exchange.enter(scope)
        exchange.tracing, exchange.record = self._tracing, self._write
        messages = ObservedMessages(exchange, receive, send, self._write)
        try:
            try:
                await self.app(scope, messages.receive, messages.send)
            except Exception as error:
                if error is messages.broken or isinstance(error, ClientGone):
                    messages.client_gone = True
                # The failure gets no name in this frame: the frame is in its traceback, and each would keep the other,
                # and with it the request.
                elif not await self._end_response(scope, exchange, messages, self._failure_of(exchange, error)):
                    raise
            else:
                if not (messages.complete or messages.client_gone or exchange.outcome == "client_disconnect"):
                    failure = internal_error("the app returned before its response was complete")
                    log.error("request %s: %s", exchange.request_id, failure.detail)
                    await self._end_response(scope, exchange, messages, failure)
        except asyncio.CancelledError:
            with suppress(Exception):
                async with asyncio.timeout(_LAST_SECONDS):
                    messages.stop_receiving()
                    await self._end_response(scope, exchange, messages, ShuttingDown())
            raise
        finally:
            messages.broken = None
            if not exchange.recorded:
                if messages.client_gone:
                    exchange.settle_error("client_disconnect", ClientGone())
                exchange.settle_error("shutdown", ShuttingDown())
                self._write(exchange)

    def _failure_of(self, exchange: Exchange, error: Exception) -> GateError:
        """The error that the client gets for one that the app raised."""
        if isinstance(error, GateError):
            return error
        name = type(error).__qualname__
        log.error("request %s: %s\n%s", exchange.request_id, name, format_traceback(error))
        return internal_error(name)

    async def _end_response(
        self, scope: Scope, exchange: Exchange, messages: ObservedMessages, failure: GateError
    ) -> bool:
        """End the response in a way that the client understands; False where there is none."""
        if messages.complete or messages.client_gone:
            return True
        exchange.settle_error(outcome_of(failure), failure)
        head = messages.head
        if head is None:
            await refuse(scope, messages.rest, messages.send, failure)
            return True
        if _is_event_stream(head):
            event = error_event(failure, exchange.request_id, exchange.wire)
            with suppress(OSError):
                await in_time(messages.send({"type": "http.response.body", "body": event}), _LAST_SECONDS)
            return True
        return False

    def _write(self, exchange: Exchange) -> None:
        if exchange.recorded:
            return
        each: Exchange | None = exchange
        while each is not None:
            each.recorded = True
            each = each.parent
        if exchange.ended_at is None:
            exchange.ended_at = time.monotonic()
        if not exchange.status and exchange.parent_request_id and exchange.attempts:
            exchange.status = exchange.attempts[-1].status  # no client got a response
        elif not exchange.status and exchange.outcome == "client_disconnect":
            exchange.status = row_for(ClientGone()).status
        try:
            record = UsageRecord.of(exchange, self._fields, self._cost, self._user, self._audit)
        except Exception as error:
            log.error("request %s: its record is not complete\n%s", exchange.request_id, format_traceback(error))
            record = UsageRecord.minimal(exchange)
        self._sinks.emit(record)


def internal_error(detail: str) -> InternalError:
    """The error for a defect of the gateway, or of the app behind it."""
    told = f"internal error of the gateway; {TRY_AGAIN}"
    return InternalError("internal error", client_message=told, detail=detail)


class ObservedMessages:
    """The messages of one request as they pass; the exchange gets the times and the status.

    `write` is called once, before the last message is passed on.
    """

    __slots__ = (
        *("_exchange", "_receive", "_request_ended", "_send", "_write"),
        *("broken", "client_gone", "complete", "head"),
    )

    def __init__(self, exchange: Exchange, receive: Receive, send: Send, write: Callable[[Exchange], None]) -> None:
        self._exchange = exchange
        self._receive = receive
        self._send = send
        self._write = write
        self._request_ended = False
        self.head: Message | None = None
        """The message that has begun the response."""
        self.complete = False
        self.client_gone = False
        self.broken: OSError | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.client_gone = True
        elif not message.get("more_body", False):
            self._request_ended = True
        return message

    def stop_receiving(self) -> None:
        """Read no more of the request."""
        self._request_ended = True

    async def rest(self) -> Message:
        """`receive` for draining: after the end of the request it returns an empty final message and does not wait."""
        return _NO_MORE if self._request_ended else await self.receive()

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.body":
            if not message.get("more_body", False):
                self._end()
        elif kind == "http.response.start":
            self.head = message
            self._exchange.status = message["status"]
            self._exchange.first_byte_at = time.monotonic()
        elif kind == "http.response.pathsend":
            self._end()
        try:
            await self._send(message)
        except OSError as error:  # the client has disconnected, says a server of ASGI's HTTP specification 2.4
            self.client_gone, self.broken = True, error
            raise

    def _end(self) -> None:
        exchange = self._exchange
        self.complete = True
        if self.client_gone:
            exchange.settle_error("client_disconnect", ClientGone())
        elif not exchange.outcome:
            status = exchange.status
            exchange.settle("ok" if status < 400 else "refused" if status < 500 else "error")
        self._write(exchange)


def _is_event_stream(start: Message) -> bool:
    for name, value in start.get("headers", ()):
        if name.lower() == b"content-type" and value.lstrip().lower().startswith(b"text/event-stream"):
            return True
    return False


def _check_name(name: str) -> None:
    if name in NAMES:
        raise SettingsError("every record has this name already")
    if not _FIELD_NAME.fullmatch(name):
        raise SettingsError("a field's name is letters, digits and `_.-`, 64 at most")
