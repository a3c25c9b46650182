"""Who is asked for the verdicts on a response's tool calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from asgi_llmgate._types import Scope
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import ToolUse, Verdict
from asgi_llmgate.protocol.messages.request import MessagesRequest


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
