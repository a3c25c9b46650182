"""Asks an ASGI app for a Message as Claude Code would, in memory, and reads what comes back.

The app is the whole gateway, or its endpoints alone. So what a developer would read is what the gateway really sends.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from asgi_llmgate._types import ASGIApp
from asgi_llmgate.exchange import KEY, Exchange
from asgi_llmgate.exchange_values import Usage
from asgi_llmgate.request_headers import read_headers
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.testing.driver import Driver, http_scope

MAX_RESPONSE = 2**20
"""Bytes of a response that are read."""

_MARGIN = 10.0
"""Seconds in which the gateway says that the model server timed out."""

_PATH = "/v1/messages"

HEADERS: Mapping[str, str] = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219",
    "user-agent": "claude-cli/2.1 (external, cli)",
    "x-app": "cli",
}
"""Rules may look at the client's headers, so these are like Claude Code's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response.

    status      0 where none came in time
    error       the message that the client gets, "" for a Message
    error_type  the class of the error in `asgi_llmgate.errors`, as far as it is known; `reason` and `detail` are what
                the operator's records would say
    content     the blocks of the Message
    usage       as it would be recorded
    """

    status: int
    error: str = ""
    error_type: str = ""
    reason: str = ""
    detail: str = ""
    content: list[dict[str, Any]] = field(default_factory=list, repr=False)
    stop_reason: str = ""
    usage: Usage | None = None

    @property
    def is_good(self) -> bool:
        return self.status == 200 and not self.error

    @property
    def text(self) -> str:
        return "".join(block.get("text", "") for block in self.content if block.get("type") == "text")

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        return [block for block in self.content if block.get("type") == "tool_use"]

    def shown(self, model: str) -> str:
        """What Claude Code 2.1.332 shows, without the words that it adds around it; "" for a Message.

        Tried with the real client: tests/e2e/test_doctor.py.
        """
        if self.is_good:
            return ""
        if self.status == 404:
            return f"There's an issue with the selected model ({model}). It may not exist or you may not have access"
        if self.status == 413:
            return "Request too large"
        if self.status == 429:
            return f"API Error: Request rejected (429) · {self.error}"
        if self.status in (0, 200):  # in the middle of a stream, where it tries again
            return f"API Error: {self.error}"
        return f"API Error: {self.status} {self.error}"


async def ask(
    app: ASGIApp,
    body: Mapping[str, Any],
    *,
    seconds: float,
    token: Secret | None = None,
    exchange_token: Secret | None = None,
) -> Answer:
    """POST a Messages request. The backends' own timeouts are `seconds` at most; this waits a little longer for them.

    `token` is sent as a client sends it. `exchange_token` is that of a caller who is authenticated already: for the
    endpoints alone, which read no headers of that kind.
    """
    headers = dict(HEADERS)
    if token is not None:
        headers["authorization"] = f"Bearer {token.reveal()}"
    scope = http_scope("POST", _PATH, query="beta=true", headers=headers)
    # The exchange of the endpoints alone. A gateway opens one of its own, which nobody else sees.
    exchange = Exchange(method="POST", path=_PATH, headers=read_headers(scope), token=exchange_token)
    limit = seconds + _MARGIN
    client = Driver(app, "POST", _PATH, json=body, headers=headers, timeout=limit, scope={KEY: exchange})
    received = bytearray()
    try:
        async with asyncio.timeout(limit), client:
            status = await client.start()
            while len(received) <= MAX_RESPONSE and (chunk := await client.chunk()):
                received += chunk
    except TimeoutError:
        return Answer(client.status, error=f"no complete response within {limit:g} s", error_type="TimedOut")
    if len(received) > MAX_RESPONSE:
        return Answer(status, error="a response without an end", error_type="ResponseTooLarge")
    is_stream = client.headers.get("content-type", "").startswith("text/event-stream")
    return _read(status, _assembled(bytes(received)) if is_stream else _json(received), exchange)


def _read(status: int, message: Mapping[str, Any], exchange: Exchange) -> Answer:
    error = message.get("error")
    return Answer(
        status,
        error=str(error.get("message", "")) if isinstance(error, dict) else "" if status == 200 else "no message",
        error_type=exchange.error_type,
        reason=exchange.error,
        detail=exchange.detail,
        content=[block for block in message.get("content") or () if isinstance(block, dict)],
        stop_reason=message.get("stop_reason") or "",
        usage=exchange.usage,
    )


def _json(received: bytes | bytearray) -> dict[str, Any]:
    try:
        found = json.loads(received)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _assembled(received: bytes) -> dict[str, Any]:
    """The Message that a stream of the gateway makes; with `error` if it ends in one."""
    message: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    for line in received.split(b"\n"):
        event = _json(line[5:]) if line.startswith(b"data:") else {}
        try:
            _add(event, message, blocks)
        except (LookupError, TypeError, ValueError, AttributeError):  # a server of Anthropic's wire sent it
            return {"error": {"message": "an event that is none of a Message"}}
    for block in blocks.values():
        if block.get("type") == "tool_use":
            block["input"] = _json(block["json"].encode()) or block.get("input")
    return {**message, "content": list(blocks.values())}


def _add(event: Mapping[str, Any], message: dict[str, Any], blocks: dict[int, dict[str, Any]]) -> None:
    kind = event.get("type")
    if kind == "content_block_start":
        blocks[event["index"]] = dict(event["content_block"], json="")
    elif kind == "content_block_delta":
        delta, block = event["delta"], blocks[event["index"]]
        block["text"] = block.get("text", "") + delta.get("text", "")
        block["json"] += delta.get("partial_json", "")
    elif kind == "message_delta":
        message.update(event["delta"])
    elif kind == "error":
        message["error"] = event["error"]
