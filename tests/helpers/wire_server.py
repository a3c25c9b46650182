"""A model server as bytes on sockets, for what no HTTP library would send."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One request: the number of its connection, its own number on that connection (from 0), its head and body."""

    connection: int
    number: int
    head: bytes
    body: bytes

    @property
    def line(self) -> str:
        return self.head.partition(b"\r\n")[0].decode()

    def json(self) -> Any:
        return json.loads(self.body)


Respond = Callable[[WireRequest, Writer], Awaitable[bool | None]]


class WireServer:
    """`respond` writes the response to each request; the connection is closed when it returns True.

    `requests` are those that were read in whole. Use it with `async with`.
    """

    def __init__(self, respond: Respond) -> None:
        self.requests: list[WireRequest] = []
        self.connections = 0
        self._respond = respond
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection, self.connections = self.connections, self.connections + 1
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                number = 0
                while True:
                    request = WireRequest(connection, number, *await _read(reader))
                    self.requests.append(request)
                    number += 1
                    if await self._respond(request, writer):
                        break
                    await writer.drain()
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _read(reader: Reader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if line)
    return head, await reader.readexactly(int(fields.get(b"content-length", b"0")))


def reset(writer: Writer) -> None:
    """Close the connection with RST instead of FIN."""
    linger = b"\1\0\0\0\0\0\0\0"
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def head(*fields: bytes, status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join((b"HTTP/1.1 " + status, *fields, b"", b""))


def completion(text: str = "fine", **more: Any) -> dict[str, Any]:
    """A chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    return {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage, **more}


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of a chat completion; without a delta and a finish reason one without choices."""
    choices = [] if delta is None and finish is None else [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": choices, **more}


def sse(*events: dict[str, Any] | str) -> bytes:
    return b"".join(
        b"data: %b\n\n" % (event if isinstance(event, str) else json.dumps(event)).encode() for event in events
    )


def whole(body: bytes, *fields: bytes, content_type: bytes = b"application/json", status: bytes = b"200 OK") -> bytes:
    """A response with a content-length."""
    length = b"content-length: %d" % len(body)
    return head(b"content-type: " + content_type, length, *fields, status=status) + body


def ok(request: WireRequest) -> bytes:
    """A good response to a chat completions request, streamed if that was asked for; the connection is kept."""
    if request.json().get("stream"):
        usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
        events = (chunk({"content": "fine"}), chunk(finish="stop"), chunk(usage=usage), "[DONE]")
        return whole(sse(*events), content_type=b"text/event-stream")
    return whole(json.dumps(completion()).encode())
