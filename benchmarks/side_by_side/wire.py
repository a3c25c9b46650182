"""A model server that responds without thinking.  It runs where the clients do, on another core than the gateways."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

HEAD = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-mini"}
USAGE = {
    "prompt_tokens": 4321,
    "completion_tokens": 300,
    "total_tokens": 4621,
    "prompt_tokens_details": {"cached_tokens": 4096},
}
EVENTS, PAUSE = 100, 0.02
"""Events with text in one stream, and seconds between two of them."""

STAMP = b"@%019d@"
"""What the text of an event is, where its delay is measured: nanoseconds of the monotonic clock."""

_KEPT = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _completion() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "word " * 240}, "finish_reason": "stop"}
    content = json.dumps({**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()
    return _KEPT % len(content) + content


def _event(content: bytes) -> bytes:
    return b"data: " + content + b"\n\n"


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _event(json.dumps({**HEAD, "object": "chat.completion.chunk", "choices": [choice]}).encode())


def stream_of_events(count: int = EVENTS) -> list[bytes]:
    """The events of one response, `count` of them with text."""
    words = [_chunk({"content": f" word{number}"}) for number in range(count)]
    usage = _event(json.dumps({**HEAD, "choices": [], "usage": USAGE}).encode())
    return [_chunk({"role": "assistant", "content": ""}), *words, _chunk({}, "stop"), usage, _event(b"[DONE]")]


def _in_chunk(data: bytes) -> bytes:
    """A chunk of HTTP's chunked encoding."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def on_the_wire(parts: Sequence[bytes]) -> list[bytes]:
    """A response in chunks, each of which is a part."""
    first, *further = map(_in_chunk, parts)
    return [_CHUNKED + first, *further, b"0\r\n\r\n"]


@cache
def _stream_on_the_wire(count: int) -> list[bytes]:
    return on_the_wire(stream_of_events(count))


COMPLETION = _completion()
STAMPED = _in_chunk(_chunk({"content": (STAMP % 0).decode()}))


@dataclass
class Plan:
    """How streams come: so many events, seconds between two of them, and whether each says when it was sent."""

    events: int = field(default_factory=lambda: EVENTS)
    pause: float = field(default_factory=lambda: PAUSE)
    stamped: bool = False


@dataclass
class ModelServer:
    """Responds to each request as the plan of that moment says."""

    plan: Plan = field(default_factory=Plan)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        # asyncio logs a handler that is cancelled when the loop ends
        with suppress(asyncio.CancelledError, ConnectionError):
            while head := await _head(reader):
                content = await reader.readexactly(length_of(head))
                if b'"stream":true' in content or b'"stream": true' in content:
                    await self._stream(writer)
                else:
                    writer.write(COMPLETION)
        writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        plan = self.plan
        first, *further = _stream_on_the_wire(plan.events)
        writer.write(first)
        for event in further:
            await asyncio.sleep(plan.pause)
            if writer.is_closing():
                return
            if plan.stamped and b" word" in event:
                event = STAMPED.replace(STAMP % 0, STAMP % time.monotonic_ns())
            writer.write(event)


async def model_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A model server whose streams are of EVENTS events, PAUSE seconds apart."""
    await ModelServer()(reader, writer)


async def _head(reader: asyncio.StreamReader) -> bytes:
    """A message up to its body, in lower case; empty where the connection ends."""
    try:
        return (await reader.readuntil(b"\r\n\r\n")).lower()
    except asyncio.IncompleteReadError:
        return b""


def length_of(head: bytes) -> int:
    """Of a body; `head` is in lower case."""
    return int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
