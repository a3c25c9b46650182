"""The requests and responses of `benchmarks.attacks`. As a program, with a port, it is the model server."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable

MB = 2**20


def _messages(each: bytes, count: int) -> bytes:
    return b'{"model":"m","max_tokens":1,"messages":[' + b",".join([each] * count) + b"]}"


def _names(count: int) -> bytes:
    return b'{"model":"m","messages":[],' + b",".join(b'"%x":0' % number for number in range(count)) + b"}"


def _nested(depth: int) -> bytes:
    return b'{"model":"m","messages":[{"role":"user","content":' + b"[" * depth + b"]" * depth + b"}]}"


def _blocks(count: int) -> bytes:
    block = b'{"type":"text","text":"x"}'
    return _messages(b'{"role":"user","content":[' + b",".join([block] * count) + b"]}", 1)


def _tools(count: int) -> bytes:
    tool = b'{"name":"t%d","input_schema":{}}'
    return b'{"model":"m","max_tokens":1,"messages":[],"tools":[' + b",".join(tool % n for n in range(count)) + b"]}"


def _input(inside: bytes) -> bytes:
    use = b'{"type":"tool_use","id":"t","name":"n","input":' + inside + b"}"
    return _messages(b'{"role":"assistant","content":[' + use + b"]}", 1)


def _repeated(count: int) -> bytes:
    return (
        b'{"model":"m","messages":[],"x":{'
        + b",".join([b'"%x":0' % n for n in range(count)] + [b'"a":1,"a":2'])
        + b"}}"
    )


BODIES: dict[str, tuple[str, Callable[[], bytes], bool]] = {
    "a million messages": ("/v1/messages", lambda: _messages(b'{"role":"user","content":"x"}', 1_000_000), True),
    "two and a half million names": ("/v1/messages", lambda: _names(2_500_000), True),
    "a million blocks": ("/v1/messages", lambda: _blocks(1_150_000), True),
    "half a million tools": ("/v1/messages", lambda: _tools(500_000), True),
    "ten million numbers in messages": ("/v1/messages", lambda: _messages(b"0", 10_000_000), True),
    "a tool input of ten million numbers": ("/v1/messages", lambda: _input(b"[" + b"0," * 10_000_000 + b"0]"), True),
    "nested 100,000 times": ("/v1/messages", lambda: _nested(100_000), False),
    "thirty million closing brackets": ("/v1/messages", lambda: b'{"model":"m"}' + b"]" * (31 * MB), False),
    "a text of ten million escapes": (
        "/v1/messages",
        lambda: _messages(b'{"role":"user","content":"' + b"\\\\" * 10_000_000 + b'"}', 1),
        False,
    ),
    "32 MB of commas in a text": (
        "/v1/messages",
        lambda: _messages(b'{"role":"user","content":"' + b"," * (31 * MB) + b'"}', 1),
        True,
    ),
    "a model's name of 720 kB": (
        "/v1/messages",
        lambda: b'{"model":"' + b"abcdefg" * 100_000 + b'","max_tokens":1,"messages":[{"role":"user","content":"x"}]}',
        False,
    ),
    "names that come twice (completions)": ("/v1/chat/completions", lambda: _repeated(30_000), False),
    "two and a half million names (completions)": ("/v1/chat/completions", lambda: _names(2_500_000), True),
    "a million messages (completions)": (
        "/v1/chat/completions",
        lambda: _messages(b'{"role":"user","content":"x"}', 1_000_000),
        True,
    ),
    "two and a half million names (passthrough)": ("/v1/embeddings", lambda: _names(2_500_000), True),
    "ten million numbers (passthrough)": (
        "/v1/embeddings",
        lambda: b'{"model":"m","input":[' + b"0," * 10_000_000 + b"0]}",
        True,
    ),
}
"""Name -> route, body, whether it is sent as gzip. Each is under 32 MiB, or far above."""


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %s\n\n" % json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()


async def _text(size: int) -> AsyncIterator[bytes]:
    piece = _chunk({"content": "x" * 4000}) * 16
    for _ in range(size // len(piece)):
        yield piece
    yield _chunk({}, "stop") + b"data: [DONE]\n\n"


async def _arguments(pieces: int, piece: str, *, second: bool = False) -> AsyncIterator[bytes]:
    """One tool call in so many pieces; with `second` another one waits behind it."""
    function = {"name": "Write", "arguments": '{"a": "'}
    yield _chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]})
    if second:
        function = {"name": "Read", "arguments": '{"a": "b"}'}
        yield _chunk({"tool_calls": [{"index": 1, "id": "call_2", "type": "function", "function": function}]})
    many = _chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) * 100
    for _ in range(pieces // 100):
        yield many
    yield _chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"}'}}]})
    yield _chunk({}, "tool_calls") + b"data: [DONE]\n\n"


async def _refusal(size: int) -> AsyncIterator[bytes]:
    yield b'{"error":{"message":"prompt is too long: 9000 tokens > 8000 maximum","code":400},"input":"'
    for _ in range(size // MB):
        yield b"x" * MB
    yield b'"}'


ANSWERS: dict[str, tuple[Callable[[], AsyncIterator[bytes]], bool, int]] = {
    "600 MB of text, streamed": (lambda: _text(600 * MB), True, 1),
    "600 MB of text, to a call that does not stream": (lambda: _text(600 * MB), False, 1),
    "a tool call in 40,000 pieces": (lambda: _arguments(40_000, "x"), True, 1),
    "the same in pieces that end in a brace, with a second call": (
        lambda: _arguments(40_000, "x" * 59 + "}", second=True),
        True,
        1,
    ),
    "arguments of 600 MB": (lambda: _arguments(150_000, "x" * 4000), True, 1),
    "arguments of 600 MB, to a call that does not stream": (lambda: _arguments(150_000, "x" * 4000), False, 1),
    "a refusal of 30 MB": (lambda: _refusal(30 * MB), True, 3),
}
"""Model -> its response, whether the client streams, number of calls."""


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            (int(line.split(":")[1]) for line in head.lower().split("\r\n") if line.startswith("content-le")), 0
        )
        body = await reader.readexactly(length)
        if head.startswith("POST /introspect"):
            await asyncio.sleep(0.2)
            await _whole(writer, b'{"active": false}')
            return
        model = json.loads(body)["model"]
        status = b"400 Bad Request" if "refusal" in model else b"200 OK"
        writer.write(b"HTTP/1.1 %s\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" % status)
        source = _text(2**40) if model == "endless" else ANSWERS[model][0]()
        async for piece in source:
            writer.write(piece)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _whole(writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n")
    writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))
    await writer.drain()


async def main(port: int) -> None:
    async with await asyncio.start_server(_serve, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
