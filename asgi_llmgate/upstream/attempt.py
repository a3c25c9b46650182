"""One call on its way to one model server, until its answer opens."""

from __future__ import annotations

import time
from dataclasses import replace

from asgi_llmgate.net import HTTPAnswer
from asgi_llmgate.protocol.carriers import Carrier
from asgi_llmgate.upstream.backend import Taught, Upstream
from asgi_llmgate.upstream.outgoing import Asking, Outgoing, write

TRIES = 8
"""Of one call at one server, at the most, however much its refusals teach."""


class Attempt:
    """`outgoing` is the call as the server gets it, written anew with each lesson.

    Raises InvalidRequest at once where the call cannot be carried over.
    """

    def __init__(self, upstream: Upstream, asking: Asking) -> None:
        self._upstream = upstream
        self._asking = asking
        self.outgoing = self._write()

    def carrier(self) -> Carrier:
        """What carries the answer: to be made when the answer opens, since a lesson changes what is expected."""
        return self.outgoing.carrier()

    async def open(self) -> HTTPAnswer:
        """The answer, a 200 whose body has not been read; it must be closed.  Raises GateError."""
        exchange, model = self._asking.exchange, self._asking.target.model
        tries = 0
        while True:
            tries += 1
            exchange.attempts += 1
            exchange.sent_at = time.monotonic()
            with exchange.tracing.call(exchange, self._upstream.address) as headers:
                answer = await self._upstream.send(self.outgoing, model, exchange, headers)
            if not isinstance(answer, Taught):
                return answer
            if answer.counted.tokens:
                self._asking = replace(self._asking, counted=answer.counted)
            refused, self.outgoing = self.outgoing, self._write()
            if self.outgoing.body == refused.body or tries == TRIES:
                raise answer.refusal

    def _write(self) -> Outgoing:
        upstream = self._upstream
        lessons = upstream.lessons(self._asking.target.model)
        outgoing = write(self._asking, upstream.dialect, upstream.options, lessons)
        self._asking.exchange.dropped[:] = outgoing.dropped
        return outgoing
