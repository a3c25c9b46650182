"""One call on its way to one model server, until its answer opens."""

from __future__ import annotations

import time

from asgi_llmgate.exchange import Exchange, Target
from asgi_llmgate.net import HTTPAnswer
from asgi_llmgate.protocol.anthropic import MessagesRequest
from asgi_llmgate.protocol.request import Chat, to_chat
from asgi_llmgate.upstream.backend import Upstream


class Attempt:
    """`chat` is the request as the server gets it, rewritten with each lesson; `input_estimate` is in tokens.

    Raises InvalidRequest at once where the call cannot be carried over.
    """

    def __init__(
        self, upstream: Upstream, exchange: Exchange, request: MessagesRequest, target: Target, input_estimate: int
    ) -> None:
        self._upstream = upstream
        self._exchange = exchange
        self._request = request
        self._target = target
        self._input_estimate = input_estimate
        self.chat = self._translate()

    async def open(self) -> HTTPAnswer:
        """The answer, a 200 whose body has not been read; it must be closed.  Raises UpstreamError."""
        while True:
            self._exchange.attempts += 1
            self._exchange.sent_at = time.monotonic()
            answer = await self._upstream.send(self.chat.body, self._target.model)
            if answer is not None:
                return answer
            self.chat = self._translate()

    def _translate(self) -> Chat:
        exchange = self._exchange
        chat = to_chat(
            self._request,
            target=self._target,
            dialect=self._upstream.dialect,
            options=self._upstream.options,
            learnt=self._upstream.lessons(self._target.model),
            request_id=exchange.request_id,
            session_id=exchange.call.session_id if exchange.call else "",
            input_estimate=self._input_estimate,
        )
        exchange.dropped[:] = chat.dropped
        return chat
