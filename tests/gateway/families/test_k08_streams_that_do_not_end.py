"""K8: the stop reason has come, and then neither `[DONE]` nor the end of the connection.

The response is over after a short time all the same, and the connection is not used again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from asgi_llmgate.testing.grammar import check_stream
from tests.gateway.families.conftest import MakeGate
from tests.helpers.wire_server import WireRequest, Writer, chunk, head, sse

GRACE = 0.05
USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
TEXT = chunk({"content": "fine"})

ENDS = {
    "finish, then usage": [chunk(finish="stop"), chunk(usage=USAGE)],
    "finish and usage in one": [chunk(finish="stop", usage=USAGE)],
    "a cut": [chunk(finish="length"), chunk(usage=USAGE)],
    "content with its finish": [chunk({"content": ""}, "stop", usage=USAGE)],
    "finish twice": [chunk(finish="stop"), chunk(finish="stop", usage=USAGE)],
    "DONE, and nothing more": [chunk(finish="stop"), chunk(usage=USAGE), "[DONE]"],
}

AFTER = {
    "silence": None,
    "comments": b": keep-alive\n\n",
    "bare newlines": b"\n\n",
    "pings": b"event: ping\ndata: ping\n\n",
    "data that says nothing": sse(chunk()),
    "half an event": b"data: {",
}


def endless(events: list[Any], after: bytes | None) -> Callable[[WireRequest, Writer], Any]:
    """A server that sends the events, and then `after` again and again until the connection is closed."""

    async def respond(request: WireRequest, writer: Writer) -> bool:
        writer.write(head(b"content-type: text/event-stream") + sse(*events))
        while not writer.is_closing():
            if after is not None:
                writer.write(after)
            await writer.drain()
            await asyncio.sleep(0.001)
        return True

    return respond


@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_a_stream_that_said_why_it_stopped_is_over(gate: MakeGate, end: list[Any], after: bytes | None) -> None:
    made = await gate(endless([TEXT, *end], after), grace=GRACE)
    message = check_stream((await made.ask(stream=True)).body)
    assert message["content"] == [{"type": "text", "text": "fine"}]
    assert message["usage"]["output_tokens"] == 2
    assert (made.exchange.outcome, made.exchange.usage.estimated) == ("ok", False)
    await made.ask(stream=True)
    assert made.server.connections == 2


@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER)
async def test_a_client_that_waits_for_a_document_gets_it(gate: MakeGate, after: bytes | None) -> None:
    """The server streams although it was not asked to."""
    made = await gate(endless([TEXT, *ENDS["finish, then usage"]], after), grace=GRACE)
    message = (await made.ask()).json()
    assert (message["content"], message["stop_reason"]) == ([{"type": "text", "text": "fine"}], "end_turn")
    assert message["usage"]["output_tokens"] == 2


@pytest.mark.parametrize("after", [None, b": keep-alive\n\n"], ids=["silence", "comments"])
@pytest.mark.parametrize("end", [ENDS["finish, then usage"], ENDS["finish and usage in one"]], ids=["apart", "one"])
async def test_a_forwarded_chat_completion_ends_with_done(gate: MakeGate, end: list[Any], after: bytes | None) -> None:
    made = await gate(endless([TEXT, *end], after), grace=GRACE)
    body = (await made.ask(stream=True, path="/v1/chat/completions", stream_options={"include_usage": True})).body
    assert body == sse(TEXT, *end, "[DONE]")
    assert made.exchange.usage.output == 2


MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {}}
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": MESSAGE},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "fine"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"input_tokens": 10, "output_tokens": 2},
    },
    {"type": "message_stop"},
]


@pytest.mark.parametrize("after", [None, b": keep-alive\n\n", b'event: ping\ndata: {"type":"ping"}\n\n'])
@pytest.mark.parametrize("sent", [EVENTS, EVENTS[:-1]], ids=["with message_stop", "without"])
async def test_a_forwarded_message_ends_with_message_stop(gate: MakeGate, sent: list[Any], after: bytes | None) -> None:
    made = await gate(endless(sent, after), dialect="anthropic", grace=GRACE)
    reply = await made.ask(stream=True)
    found = [data for _, data in reply.events() if data["type"] != "ping"]
    assert found == EVENTS
    assert (made.exchange.outcome, made.exchange.usage.output) == ("ok", 2)


async def test_a_stream_without_a_stop_reason_is_waited_for(gate: MakeGate) -> None:
    released = asyncio.Event()

    async def respond(request: WireRequest, writer: Writer) -> bool:
        writer.write(head(b"content-type: text/event-stream") + sse(TEXT, chunk(usage=USAGE)))
        await released.wait()
        writer.write(sse(chunk({"content": " too"}, "stop"), "[DONE]"))
        return True

    made = await gate(respond, grace=0.001)
    asking = asyncio.ensure_future(made.ask(stream=True))
    await asyncio.sleep(0.02)
    assert not asking.done()
    released.set()
    assert check_stream((await asking).body)["content"][0]["text"] == "fine too"


async def test_what_still_comes_for_the_client_after_the_stop_reason_is_sent(gate: MakeGate) -> None:
    """The grace counts from what the client last heard: a server that names the reason with each chunk is not cut."""

    async def respond(request: WireRequest, writer: Writer) -> bool:
        writer.write(head(b"content-type: text/event-stream"))
        for _ in range(20):
            writer.write(sse(chunk({"content": "x"}, "stop")))
            await writer.drain()
            await asyncio.sleep(GRACE / 10)
        return True

    made = await gate(respond, grace=GRACE)
    assert check_stream((await made.ask(stream=True)).body)["content"] == [{"type": "text", "text": "x" * 20}]


async def test_a_connection_that_ends_in_time_is_used_again(gate: MakeGate) -> None:
    async def respond(request: WireRequest, writer: Writer) -> None:
        body = sse(TEXT, chunk(finish="stop"), chunk(usage=USAGE))
        writer.write(head(b"content-type: text/event-stream", b"transfer-encoding: chunked"))
        for piece in (body, b": bye\n\n"):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    made = await gate(respond)
    for _ in range(3):
        assert json.dumps(check_stream((await made.ask(stream=True)).body)["content"])
    assert made.server.connections == 1
