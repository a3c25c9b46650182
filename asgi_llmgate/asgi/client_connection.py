"""The client's end of a request while its response is made.

A server does not interrupt an app whose client has disconnected: `send` continues without effect (version 2.4 of the
ASGI specification lets it raise OSError, which most servers do not do), and only `receive` says so, by
`http.disconnect`. So a task has to wait for that message, or the model keeps generating for no one. No message at all
comes for a client that is connected but has stopped reading, such as a laptop with its lid closed: `send` does not
return.

Inside `async with ClientConnection(...)` both end the block: it is cancelled where it waits, and ClientGone is raised
from it, in the way of `asyncio.timeout`. So the app is straight-line code, and closes its upstream by leaving blocks:

    async with ClientConnection(receive, send) as client:
        await client.start(200, headers)
        async with Paced(partial(upstream.open, ...), every=12.0, sent_at=client.sent_at) as chunks:
            async for chunk in chunks:
                await client.send(PING if chunk is None else translate(chunk))
        await client.end()

Only one app of a request may use it: two that wait on one `receive` would take messages from each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from types import TracebackType
from typing import Self

from asgi_llmgate._types import Message, Receive, Send
from asgi_llmgate.concurrency.cancellation import CancelScope, cancel_and_wait
from asgi_llmgate.errors import ClientGone

LAST_SECONDS = 2.0
"""Seconds for the end of a response to be sent when the server stops."""

STALL = 60.0
"""Seconds that one `send` may take, by default: a client that does not read blocks it for ever."""


class ClientConnection:
    """`stall` is how many seconds one `send` may take, None for no limit. The rest of the request body is discarded."""

    def __init__(self, receive: Receive, send: Send, *, stall: float | None = STALL) -> None:
        self.started = False
        """Whether the response has begun: from then on an error can only be sent in its body."""

        self.ended = False
        """Whether the response is complete."""

        self._receive = receive
        self._send = send
        self._stall = stall
        self._sending_since: float | None = None
        self._last_sent: float | None = None
        self._scope = CancelScope()
        self._watcher: asyncio.Task[None] | None = None

    # The three are no coroutines themselves: with `await` each would be one more to resume per chunk.

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> Awaitable[None]:
        """Send the head of the response."""
        self.started = True
        return self._forward({"type": "http.response.start", "status": status, "headers": list(headers)})

    def send(self, chunk: bytes) -> Awaitable[None]:
        """Send a part of the body; nothing is sent for an empty one."""
        if not chunk:
            return _send_nothing()
        return self._forward({"type": "http.response.body", "body": chunk, "more_body": True})

    def end(self, chunk: bytes = b"") -> Awaitable[None]:
        """Send the last part. Settle the outcome before: `http.disconnect` also comes after a complete response."""
        self.ended = True
        return self._forward({"type": "http.response.body", "body": chunk, "more_body": False})

    def sent_at(self) -> float | None:
        """When the client was last sent something, in seconds of the event loop's clock: now, while a `send` waits for
        it. None before anything was."""
        return self._last_sent if self._sending_since is None else self._loop.time()

    def hurry(self, seconds: float = LAST_SECONDS) -> None:
        """Shorten `stall` for the next sends; a `send` that is waiting has as long from now."""
        self._stall = seconds if self._stall is None else min(seconds, self._stall)
        if self._sending_since is not None:
            self._sending_since = self._loop.time()
        self._scope.cancel_when(self._stall_ends, ClientGone)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._scope.__enter__()
        self._watcher = self._loop.create_task(self._watch())
        if self._stall is not None:
            self._scope.cancel_when(self._stall_ends, ClientGone)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        watcher, self._watcher = self._watcher, None
        assert watcher is not None
        try:
            self._scope.__exit__(kind, error, trace)
        finally:
            await cancel_and_wait(watcher)

    async def _forward(self, message: Message) -> None:
        self._sending_since = self._loop.time()
        try:
            await self._send(message)
        except OSError:
            raise ClientGone from None
        finally:
            self._sending_since = None
            self._last_sent = self._loop.time()

    async def _watch(self) -> None:
        try:
            while (await self._receive())["type"] != "http.disconnect":
                pass
        except Exception:  # noqa: S110  a server whose `receive` fails has lost the connection
            pass
        if not self.ended:
            self._scope.cancel(ClientGone)

    def _stall_ends(self) -> float:
        """When the current `send` will have taken too long; without one, when one that began now would."""
        assert self._stall is not None
        return self._stall + (self._loop.time() if self._sending_since is None else self._sending_since)


async def _send_nothing() -> None:
    pass
