"""An HTTP/1.1 client: connections that are kept, httptools as the parser, no limits and no timeouts."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import httptools

_HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: model\r\nauthorization: Bearer key\r\n"
    b"content-type: application/json\r\n"
)


class Connection(asyncio.Protocol):
    """One connection, and the response that is read from it."""

    transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self, content: bytes) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._waiting: asyncio.Future[None] | None = None
        self.complete = False
        self.transport.write(b"%scontent-length: %d\r\n\r\n%s" % (_HEAD, len(content), content))

    async def read(self) -> bytes:
        """What has come; empty at the end of the response."""
        while not self._parts and not self.complete:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def read_all(self) -> bytes:
        parts = []
        while part := await self.read():
            parts.append(part)
        return b"".join(parts)

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        self.complete = True

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self.complete = True
        self._wake()

    def _wake(self) -> None:
        waiting = self._waiting
        if waiting is not None and (self._parts or self.complete):
            self._waiting = None
            if not waiting.done():
                waiting.set_result(None)


class Pool:
    """The connections to one model server; the last used is used first."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: deque[Connection] = deque()

    async def ask(self, content: bytes) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.transport is not None:
                break
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
        connection.ask(content)
        return connection

    def release(self, connection: Connection) -> None:
        if connection.complete:
            self._idle.append(connection)
        elif connection.transport is not None:
            connection.transport.abort()
