"""One call on its way to one model server, until its answer begins.

A refusal may say what to do about it.  The call is then written anew, with one correction at a time, and sent again.
A correction is this call's own until the server has answered what it led to; then it is kept for the calls of others,
unless it may be the caller's doing:

- It changed nothing in what was sent: then it is not made at all, and the next one is tried.
- The refusal's words stand in the request (quotations.py): who writes a prompt may write a refusal into it.
- The server said the same again afterwards: then it was not the reason.
- It is a limit so small that nobody would run a model with it.
"""

from __future__ import annotations

import asyncio
import time
from copy import copy
from dataclasses import replace

from asgi_llmgate.exchange import Attempt as Sent
from asgi_llmgate.net import HTTPResponse
from asgi_llmgate.protocol.response_handler import ResponseHandler
from asgi_llmgate.protocol.servers.corrections import NO_CORRECTIONS, Corrections
from asgi_llmgate.protocol.servers.quotations import may_come_from_request
from asgi_llmgate.protocol.wire_pairs import UpstreamRequest
from asgi_llmgate.upstream.backend import Corrected, Upstream
from asgi_llmgate.upstream.outgoing import Asking, write

TRIES = 8
"""Of one call at one server, at the most, however much its refusals say."""

REWRITES = 16
"""Of one call: to see whether a correction changes anything, the call has to be written."""


class Attempt:
    """`outgoing` is the call as the server gets it, written anew with each correction.

    Raises InvalidRequest at once where the call cannot be carried over.
    """

    def __init__(self, upstream: Upstream, asking: Asking) -> None:
        self._upstream = upstream
        self._asking = asking
        self._known = upstream.corrections(
            asking.target.model
        )  # once: what others learn meanwhile is no effect of ours
        self._own = NO_CORRECTIONS
        self._teaches = True
        self._rewrites = 0
        self.outgoing = self._write(NO_CORRECTIONS)

    def carrier(self) -> ResponseHandler:
        """What carries the answer: to be made when the answer opens, since a correction changes what is expected."""
        return self.outgoing.make_handler()

    async def open(self) -> HTTPResponse:
        """The answer, a 200 whose body has not been read; it must be closed.  Raises GateError."""
        exchange, model = self._asking.exchange, self._asking.target.model
        tries = 0
        while True:
            tries += 1
            attempt = Sent(self._asking.target, time.monotonic())
            exchange.attempts.append(attempt)
            with exchange.tracing.call(exchange, self._upstream.address) as headers:
                answer = await self._upstream.send(self.outgoing, model, exchange, headers)
            if not isinstance(answer, Corrected):
                return answer
            if tries == TRIES or not await self._correct(answer):
                raise copy(answer.refusal)  # its traceback holds this frame, which holds the one that is copied

    def answered(self) -> None:
        """The server has begun to answer in earnest, or has answered: keep what led to it.  May be repeated."""
        shareable = self._own.shareable()
        if self._teaches and shareable != NO_CORRECTIONS:
            self._upstream.keep(self._asking.target.model, shareable)
        self._teaches = False

    async def _correct(self, answer: Corrected) -> bool:
        """Write the call anew; False where nothing that the refusal says makes a difference to it."""
        if any(correction.changes.repeats(self._own) for correction in answer.corrections):
            self._teaches = False
        refused = plain = self.outgoing
        if answer.prompt_count.tokens:
            self._asking = replace(self._asking, prompt_count=answer.prompt_count)
            plain = await self._rewrite(self._own)
        for correction in answer.corrections:
            if self._rewrites >= REWRITES:
                break
            own = self._own.merge(correction.changes)
            self.outgoing = await self._rewrite(own)
            if self.outgoing.body not in (plain.body, refused.body):
                self._own = own
                self._teaches = self._teaches and not may_come_from_request(correction.phrases, refused.body)
                return True
        self.outgoing = plain
        return plain.body != refused.body

    async def _rewrite(self, own: Corrections) -> UpstreamRequest:
        self._rewrites += 1
        await asyncio.sleep(0)  # a large call takes a while: others come in between
        return self._write(own)

    def _write(self, own: Corrections) -> UpstreamRequest:
        upstream = self._upstream
        outgoing = write(self._asking, upstream.dialect, upstream.options, self._known.merge(own))
        self._asking.exchange.dropped = outgoing.dropped
        return outgoing
