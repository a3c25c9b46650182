"""A model server in memory, at the other end of connections that the gateway's own transport believes to have opened.

All of the gateway runs as it does over a socket, and nothing differs from one run to the next.  So function calls and
instructions can be counted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from asgi_llmgate.net.native.connecting import Origin
from asgi_llmgate.net.native.connection import Connection
from benchmarks.side_by_side.wire import COMPLETION, length_of, on_the_wire, stream_of_events


def model_server(stream: Sequence[bytes] | None = None) -> AbstractContextManager[Any]:
    """In its block connections are opened to this server.  Each part of `stream` comes in a read of its own."""
    events = on_the_wire(stream_of_events() if stream is None else stream)

    async def connect(_: Origin, __: ssl.SSLContext) -> Connection:
        connection = Connection(asyncio.get_running_loop())
        connection.connection_made(_Transport(connection, events))
        return connection

    return patch("asgi_llmgate.net.native.pool.connect", connect)


class _Transport(asyncio.Transport):
    """Responds to what is written, when that is a whole request."""

    def __init__(self, connection: Connection, events: Sequence[bytes]) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._events = events
        self._written = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._written += data
        head, _, body = self._written.partition(b"\r\n\r\n")
        if len(body) == length_of(head.lower()):
            self._loop.call_soon(self._respond, iter(self._events if b'"stream":true' in body else (COMPLETION,)))
            self._written.clear()

    def _respond(self, parts: Iterator[bytes]) -> None:
        """Pass on a part, and the next one in the next turn of the event loop."""
        part = next(parts, b"")
        if part:
            self._connection.data_received(part)
            self._loop.call_soon(self._respond, parts)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default
