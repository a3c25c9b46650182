"""D7: how long the status waits for the first event is one thing, and how often a silent stream pings is another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_llmgate.asgi import Paced
from asgi_llmgate.endpoints import calls
from tests.gateway.families.conftest import MakeGate
from tests.helpers.wire_server import WireRequest, Writer, chunk, head, ok, sse


@pytest.mark.parametrize(
    ("interval", "first", "every"),
    [(0.5, 0.5, 0.5), (5, 5, 5), (10, 10, 10), (12, 10, 12), (30, 10, 30), (200, 10, 200)],
)
async def test_an_interval_over_the_peek_has_effect(
    gate: MakeGate, monkeypatch: pytest.MonkeyPatch, interval: float, first: float, every: float
) -> None:
    seen: list[tuple[float, float]] = []

    def watched(open: Any, *, every: float, first: float, sent_at: Any) -> Paced:
        seen.append((first, every))
        return Paced(open, every=every, first=first, sent_at=sent_at)

    async def respond(request: WireRequest, writer: Writer) -> None:
        writer.write(ok(request))

    monkeypatch.setattr(calls, "Paced", watched)
    made = await gate(respond, ping_interval=interval)
    assert (await made.ask(stream=True)).status == 200
    assert seen == [(first, every)]


@pytest.mark.parametrize("interval", [0.02, 30.0])
async def test_a_silent_stream_opens_after_the_peek_and_pings_by_its_interval(
    gate: MakeGate, monkeypatch: pytest.MonkeyPatch, interval: float
) -> None:
    async def respond(request: WireRequest, writer: Writer) -> bool:
        await asyncio.sleep(0.2)
        writer.write(head(b"content-type: text/event-stream") + sse(chunk({"content": "x"}, "stop"), "[DONE]"))
        return True

    monkeypatch.setattr(calls, "PEEK", 0.01)
    events = [name for name, _ in (await (await gate(respond, ping_interval=interval)).ask(stream=True)).events()]
    assert events[:2] == ["message_start", "ping"]
    assert (events.count("ping") == 1) is (interval > 1)
