"""The verdicts that the end of a response waits for, where the client asks for some (`safeguards`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from asgi_llmgate._types import Scope
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import ToolUse, Verdict
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.response_handler import Held
from asgi_llmgate.usage.tracebacks import format_traceback

log = logging.getLogger("llmgate")


class Judge(Protocol):
    """Decides about the tool calls of a response, before the client sees its end."""

    async def judge(
        self,
        scope: Scope,
        exchange: Exchange,
        request: MessagesRequest,
        tool_uses: Sequence[ToolUse],
        by_server: Mapping[str, Verdict],
        /,
    ) -> Sequence[Verdict]:
        """One verdict for each tool use, in their order. Cancelled when the client is gone or the process stops.

        `by_server` has the verdicts of the model server itself, by the id of the tool use; a translated server gives
        none. The result has such a verdict unchanged, unless the settings let a rule replace it; no classifier is
        asked about it.
        """
        ...


class Verdicts:
    """The verdicts for one response. `judge` is asked about the calls of `request`, and may fail: the client then
    decides itself, except where the model server has decided."""

    def __init__(self, judge: Judge, scope: Scope, exchange: Exchange, request: MessagesRequest) -> None:
        self._judge = judge
        self._scope = scope
        self._exchange = exchange
        self._request = request
        self.found: tuple[Verdict, ...] = ()

    async def find(self, held: Held) -> None:
        """Have all tool uses judged: afterwards `found` has one verdict for each."""
        try:
            found = await self._judge.judge(self._scope, self._exchange, self._request, held.tool_uses, held.by_server)
            if [verdict.tool_use.id for verdict in found] != [use.id for use in held.tool_uses]:
                raise RuntimeError("not one verdict for each tool use")
            self.found = tuple(found)
        except Exception as error:
            log.error("request %s: safeguards\n%s", self._exchange.request_id, format_traceback(error))
            self.found = tuple(held.by_server.get(use.id, _unavailable(use)) for use in held.tool_uses)

    async def open(self, held: Held) -> None:
        """`find` as a source for `Paced`, which says meanwhile when the client needs a ping; it has no chunks."""
        await self.find(held)


def _unavailable(tool_use: ToolUse) -> Verdict:
    return Verdict(
        tool_use=tool_use,
        outcome="unavailable",
        explanation="the safeguards of this gateway failed",
        decided_by="undecided",
    )
