"""A server that works for longer than Claude Code waits, and says so in comments only: the client hears that too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from asgi_llmgate._types import Receive, Scope, Send
from tests.protocol.responses import chunk, counted, sse

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites

PATIENCE = 4
"""Seconds for which the client waits for a response to begin; 600 by default.  That a stream which has begun is silent
it bears for 300 s, which no setting shortens."""


async def busy(scope: Scope, receive: Receive, send: Send) -> None:
    """A model server that says at once that it works, as OpenRouter does, and much later what the response is."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for _ in range(4 * (PATIENCE + 3)):
        await send({"type": "http.response.body", "body": b": OPENROUTER PROCESSING\n\n", "more_body": True})
        await asyncio.sleep(0.25)
    answer = sse(chunk(content="42"), chunk(finish="stop", usage=counted()))
    await send({"type": "http.response.body", "body": answer})


def test_a_server_that_works_for_longer_than_the_client_waits(
    lab: Callable[..., Lab], claude: ClaudeCode, serve: Callable[..., str]
) -> None:
    gate = lab(backend={"base_url": serve(busy) + "/v1"}, translation={"ping_interval": 1})
    run = claude("What is it all about?", gate=gate, API_TIMEOUT_MS=str(1000 * PATIENCE))
    assert (run.result, run.is_error) == ("42", False)
    assert [record["outcome"] for record in gate.records()] == ["ok"]
    assert len(gate.calls) == 1
