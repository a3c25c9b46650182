"""What runs under uvicorn: `null` does nothing, `proxy` does the least that a gateway can do, `gateway` does all of it.

The settings of `gateway` are the file that LLMGATE_CONFIG names, the model server of `proxy` is MODEL_PORT.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import Any

import msgspec

from asgi_llmgate import Gateway

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

JSON, EVENTS = b"application/json", b"text/event-stream"


async def null(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, and responds at once."""
    if scope["type"] == "http":
        await _body(receive)
        await _respond(send, JSON)
        await send({"type": "http.response.body", "body": b"{}"})


class Proxy:
    """Decodes the body, sends it encoded again over a connection that is kept, and passes the response on.

    It verifies, decides, checks and records nothing, and its model server never fails: a mark to compare with.
    """

    def __init__(self) -> None:
        self._port = int(os.environ["MODEL_PORT"])
        self._idle: deque[Connection] = deque()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        content = msgspec.json.encode(msgspec.json.decode(await _body(receive)))
        connection = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = connection
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: model\r\ncontent-length: %d\r\n\r\n" % len(content))
        writer.write(content)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        _, known, length = head.partition(b"content-length: ")
        if known:
            await _respond(send, JSON)
            answer = msgspec.json.decode(await reader.readexactly(int(length.split()[0])))
            await send({"type": "http.response.body", "body": msgspec.json.encode(answer)})
        else:
            await _respond(send, EVENTS)
            while size := int(await reader.readline(), 16):
                chunk = (await reader.readexactly(size + 2))[:-2]
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await reader.readline()
            await send({"type": "http.response.body", "body": b""})
        self._idle.append(connection)


def proxy() -> Proxy:
    return Proxy()


def gateway() -> Gateway:
    return Gateway.from_file(os.environ["LLMGATE_CONFIG"])


async def _body(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


async def _respond(send: Any, kind: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
