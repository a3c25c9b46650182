"""A model server that refuses requests, and the gateway's attempts at it, without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Corrections
from asgi_llmgate.protocol.servers.corrections.table import find_corrections
from asgi_llmgate.protocol.servers.corrections.tool_schemas import next_steps
from asgi_llmgate.protocol.servers.dialects import DIALECTS, Dialect
from asgi_llmgate.protocol.translation.request.chat_request import ChatRequest, Options, to_chat
from asgi_llmgate.upstream.call import MAX_ATTEMPTS

Judge = Callable[[dict[str, Any]], str | None]
"""What a server says of a request; None: it accepts it."""


@dataclass
class Negotiation:
    """All attempts of one request: the bodies, the last translation, and what was found out."""

    accepted: bool = False
    chat: ChatRequest | None = None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    corrections: Corrections = NO_CORRECTIONS

    @property
    def body(self) -> dict[str, Any]:
        """The last one."""
        return self.bodies[-1]

    @property
    def functions(self) -> dict[str, dict[str, Any]]:
        """The functions of the last body by name."""
        return {tool["function"]["name"]: tool["function"] for tool in self.body.get("tools", ())}

    @property
    def dropped(self) -> set[str]:
        assert self.chat is not None
        return set(self.chat.dropped)


def negotiate(
    judge: Judge,
    *,
    dialect: str | Dialect = "generic",
    status: int = 400,
    known: Corrections = NO_CORRECTIONS,
    envelope: Callable[[str], str] | None = None,
    **fields: Any,
) -> Negotiation:
    """Ask as `upstream.call` does.  `envelope` makes the error's body of its message."""
    asked = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **fields}
    request = decode_messages(json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode())
    row = DIALECTS[dialect] if isinstance(dialect, str) else dialect

    def write(own: Corrections) -> ChatRequest:
        target = Target("backend", "provider", "model")
        return to_chat(
            request, target=target, dialect=row, options=Options(), request_id="r", corrections=known.merge(own)
        )

    found = Negotiation(chat=write(NO_CORRECTIONS))
    for _ in range(MAX_ATTEMPTS):
        assert found.chat is not None
        found.bodies.append(json.loads(found.chat.body))
        message = judge(found.body)
        if message is None:
            found.accepted = True
            return found
        error = (envelope or _openai)(message)
        for step in next_steps(find_corrections(status, error), found.chat.tools, known.merge(found.corrections)):
            more = found.corrections.merge(step.changes)
            written = write(more)
            if written.body != found.chat.body:
                found.chat, found.corrections = written, more
                break
        else:
            return found
    return found


def _openai(message: str) -> str:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error"}})
