"""Clients that only count: raw connections, on which one call follows the other."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Any

STAMP = re.compile(rb"@(\d{19})@")
LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True)
class Load:
    """`clients` at once, whose first calls are `stagger` seconds apart.

    Each goes on until `seconds` have passed since the first, and makes at least one call and at most `most`.
    """

    clients: int = 1
    seconds: float = 0.0
    most: int = 1_000_000
    stagger: float = 0.0


@dataclass
class Heard:
    """What the clients have heard: calls, seconds until the first text of each, milliseconds of delay of each event."""

    calls: int = 0
    first_text: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)


def request(path: str, headers: dict[str, str], content: bytes) -> bytes:
    """A POST as it is on the wire."""
    lines = [f"POST {path} HTTP/1.1", "host: gateway", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"content-length: {len(content)}\r\n\r\n"]).encode() + content


class Client(asyncio.Protocol):
    """One connection.  `done` has an error where a response is no 200, or the connection ends too early."""

    transport: Any

    def __init__(self, request: bytes, until: float, most: int, heard: Heard) -> None:
        self._request = request
        self._until = until
        self._left = most
        self._heard = heard
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._ask()

    def _ask(self) -> None:
        self._head: bytes | None = b""
        self._length: int | None = None
        self._tail = b""
        self._text_came = False
        self._asked = time.perf_counter()
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head, end, data = (self._head + data).partition(b"\r\n\r\n")
            if not end:
                return
            if b" 200 " not in self._head[:20]:
                self._fail((self._head + b"\n" + data).decode("latin-1"))
                return
            found = re.search(rb"content-length: *(\d+)", self._head, re.IGNORECASE)
            self._length = int(found[1]) if found else None
            self._head = None
        if self._length is not None:
            self._length -= len(data)
            if self._length <= 0:
                self._end()
            return
        self._hear(data)
        self._tail = (self._tail + data)[-5:]
        if self._tail == LAST_CHUNK:
            self._end()

    def _hear(self, data: bytes) -> None:
        """A part of a stream."""
        if not self._text_came and (b"text_delta" in data or b'"content": " word' in data):
            self._text_came = True
            self._heard.first_text.append(time.perf_counter() - self._asked)
        if b"@" in data:
            now = time.monotonic_ns()
            self._heard.delays += [(now - int(stamp)) / 1e6 for stamp in STAMP.findall(data)]

    def _end(self) -> None:
        self._heard.calls += 1
        self._left -= 1
        if self._left == 0 or time.perf_counter() >= self._until:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
        else:
            self._ask()

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))
        self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"the connection ended within a response: {error}")


async def make_calls(port: int, request: bytes, load: Load) -> Heard:
    """Send the request again and again.  Raises RuntimeError where a response is no 200."""
    heard = Heard()
    loop = asyncio.get_running_loop()
    until = time.perf_counter() + load.seconds
    clients: list[Client] = []
    try:
        for _ in range(load.clients):
            made = loop.create_connection(lambda: Client(request, until, load.most, heard), "127.0.0.1", port)
            clients.append((await made)[1])
            if load.stagger:
                await asyncio.sleep(load.stagger)
        await asyncio.gather(*(client.done for client in clients))
    finally:
        for client in clients:
            client.done.cancel()
            client.transport.abort()
    return heard
