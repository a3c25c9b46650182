"""The two ends of the line: a model server that responds without thinking, and clients that only count.

Both run in the process that measures, on another core than what is measured, and so cost it nothing.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
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


def stream_of_events() -> list[bytes]:
    """The events of one response."""
    words = [_chunk({"content": f" word{number}"}) for number in range(EVENTS)]
    usage = _event(json.dumps({**HEAD, "choices": [], "usage": USAGE}).encode())
    return [_chunk({"role": "assistant", "content": ""}), *words, _chunk({}, "stop"), usage, _event(b"[DONE]")]


def _in_chunk(data: bytes) -> bytes:
    """A chunk of HTTP's chunked encoding."""
    return b"%x\r\n%s\r\n" % (len(data), data)


COMPLETION = _completion()
FIRST, *REST = map(_in_chunk, stream_of_events())


async def model_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Responds to each request of one connection."""
    with suppress(asyncio.CancelledError):  # asyncio logs a handler that is cancelled when the loop ends
        while head := await _head(reader):
            content = await reader.readexactly(_length(head))
            if b'"stream":true' not in content:
                writer.write(COMPLETION)
                continue
            writer.write(_CHUNKED + FIRST)
            for event in REST:
                await asyncio.sleep(PAUSE)
                writer.write(event)
            writer.write(b"0\r\n\r\n")
    writer.close()


async def client(port: int, content: bytes, token: str, calls: int) -> None:
    """Makes so many calls, one after the other, on one connection.  Raises RuntimeError where a response is no 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/messages HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {token}"
    further = "content-type: application/json\r\nanthropic-version: 2023-06-01\r\nuser-agent: claude-cli/2.1.330"
    request = f"{head}\r\n{further}\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content
    for _ in range(calls):
        writer.write(request)
        response = await _head(reader)
        if b" 200 " not in response[:20]:
            raise RuntimeError(response.decode("latin-1") + (await reader.read(2000)).decode("latin-1"))
        if b"transfer-encoding" in response:
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
        else:
            await reader.readexactly(_length(response))
    writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """A message up to its body, in lower case; empty where the connection ends."""
    try:
        return (await reader.readuntil(b"\r\n\r\n")).lower()
    except asyncio.IncompleteReadError:
        return b""


def _length(head: bytes) -> int:
    return int(head.partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
