"""What the gateway's own ways of being served add to uvicorn: an end for clients that do not read theirs.

An app can give up on a client that has stopped reading, and its server then closes the connection.  But a connection
that is closed first sends what it has taken, to a client that does not read, and so stays open as long as that one
likes: with its descriptor and its buffer, and with a server that waits for it when it is to stop.  ASGI has no message
to cut it, so the server's protocol does.
"""

from __future__ import annotations

import asyncio
from typing import Any

try:
    from uvicorn.protocols.http.auto import AutoHTTPProtocol
except ImportError:
    raise ImportError("serving needs uvicorn: pip install 'asgi-llmgate[serve]'") from None

GIVE_UP = 60.0
"""Seconds that a connection which is to be closed may take to send what is left."""

PROTOCOL = f"{__name__}:Protocol"
"""For uvicorn's `http` option."""


class Closable:
    """A transport whose `close` becomes an `abort` after `seconds`, if by then not everything was read."""

    def __init__(self, transport: Any, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        if not self._transport.is_closing() and self._transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(self._seconds, self._transport.abort)
        self._transport.close()


class Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's HTTP protocol (httptools' parser, or h11's where there is none) on such a transport."""

    give_up = GIVE_UP

    def connection_made(self, transport: Any) -> None:
        super().connection_made(Closable(transport, self.give_up))
