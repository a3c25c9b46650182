"""D1: the model server sends, and the client is sent nothing of it. Pings go by what the client is not sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_llmgate.net import Timeouts
from asgi_llmgate.testing.grammar import check_stream
from tests.gateway.families.conftest import MakeGate
from tests.helpers.wire_server import Respond, WireRequest, Writer, chunk, head, sse

PIECES = 40
PACE = 0.002
"""Seconds between two pieces; all of them take several ping intervals."""


def slowly(piece: bytes, end: bytes = b"") -> Respond:
    """A stream that repeats a piece for some ping intervals, then ends."""

    async def respond(request: WireRequest, writer: Writer) -> bool:
        writer.write(head(b"content-type: text/event-stream"))
        for _ in range(PIECES):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(PACE)
        writer.write(end)
        return True

    return respond


def call(**function: Any) -> dict[str, Any]:
    return chunk({"tool_calls": [{"index": 0, "function": function}]})


HIDDEN = {
    "hidden reasoning": sse(chunk({"reasoning_content": "hm "})),
    "hidden reasoning by its other name": sse(chunk({"reasoning": "hm "})),
    "comments": b": OPENROUTER PROCESSING\n\n",
    "newlines": b"\n",
    "keep-alive events": b"data: ping\n\n",
    "events of another kind": b"event: ping\nid: 1\n\n",
    "chunks without choices": sse(chunk()),
    "empty deltas": sse(chunk({"content": ""})),
    "roles": sse(chunk({"role": "assistant"})),
    "nulls": sse(chunk({"content": None, "tool_calls": None})),
    "running usage": sse(chunk(usage={"prompt_tokens": 9, "completion_tokens": 1})),
    "a call whose name has not come": sse(call(arguments=" ")),
    "a very long line in pieces": b"." * 50,
}

END = sse(call(name="Bash"), call(arguments="{}"), chunk(finish="tool_calls"), "[DONE]")


@pytest.mark.parametrize("piece", HIDDEN.values(), ids=HIDDEN)
async def test_what_the_client_is_not_sent_is_silence(gate: MakeGate, piece: bytes) -> None:
    made = await gate(slowly(piece, (b"" if piece.endswith(b"\n") else b"\n") + END), ping_interval=5 * PACE)
    reply = await made.ask(stream=True, tools=[{"name": "Bash", "input_schema": {"type": "object"}}])
    events = [name for name, _ in reply.events()]
    assert events[0] == "message_start"
    assert events.count("ping") >= 2
    # All of them while nothing else came: between the start and the only block.
    assert "content_block_start" not in events[: events.count("ping") + 1]
    message = check_stream(reply.body)
    assert [block["name"] for block in message["content"]] == ["Bash"]


async def test_what_the_client_is_sent_is_none(gate: MakeGate) -> None:
    respond = slowly(sse(chunk({"content": "x"})), sse(chunk(finish="stop"), "[DONE]"))
    made = await gate(respond, ping_interval=PIECES * PACE * 100)
    assert b"event: ping" not in (await made.ask(stream=True)).body


async def test_pings_of_a_forwarded_stream_are_comments(gate: MakeGate) -> None:
    respond = slowly(b": PROCESSING\n\n", sse(chunk({"content": "x"}, "stop"), "[DONE]"))
    made = await gate(respond, ping_interval=5 * PACE)
    body = (await made.ask(stream=True, path="/v1/chat/completions")).body
    pings = body.count(b": ping\n\n")
    assert pings >= 2
    assert body == b": ping\n\n" * pings + sse(chunk({"content": "x"}, "stop"), "[DONE]")


async def test_an_error_after_pings_is_an_error_event(gate: MakeGate) -> None:
    made = await gate(slowly(sse(chunk({"reasoning": "hm"}))), ping_interval=5 * PACE)
    events = (await made.ask(stream=True)).events()
    assert [events[0][0], events[-1][0]] == ["message_start", "error"]


SIGNS_OF_LIFE = [b": OPENROUTER PROCESSING\n\n", b"\n", b"event: ping\nid: 1\n\n"]


@pytest.mark.parametrize("sign", SIGNS_OF_LIFE, ids=["comments", "newlines", "events without data"])
@pytest.mark.parametrize("before", [b"", sse(chunk({"content": "x"}))], ids=["at first", "in the middle"])
async def test_signs_of_life_are_no_response(gate: MakeGate, sign: bytes, before: bytes) -> None:
    """The client gets pings and would wait for ever: the timeouts are about what comes, and not about bytes."""

    async def respond(request: WireRequest, writer: Writer) -> bool:
        writer.write(head(b"content-type: text/event-stream") + before)
        while not writer.is_closing():
            writer.write(sign)
            await writer.drain()
            await asyncio.sleep(PACE)
        return True

    limits = Timeouts(idle=0.05) if before else Timeouts(first_byte=0.05)
    made = await gate(respond, ping_interval=5 * PACE, timeouts=limits)
    events = (await made.ask(stream=True)).events()
    assert [events[0][0], events[-1][0]] == ["message_start", "error"]
    assert events[-1][1]["error"]["type"] == "timeout_error"
    assert made.exchange.reason == "Timeout"


async def test_a_model_that_thinks_for_longer_than_the_timeouts_is_waited_for(gate: MakeGate) -> None:
    respond = slowly(sse(chunk({"reasoning": "hm"})), END)
    made = await gate(respond, ping_interval=PACE, timeouts=Timeouts(first_byte=5.0, idle=PIECES * PACE))
    tools = [{"name": "Bash", "input_schema": {"type": "object"}}]
    assert check_stream((await made.ask(stream=True, tools=tools)).body)["stop_reason"] == "tool_use"
