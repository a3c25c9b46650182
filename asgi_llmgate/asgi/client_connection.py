"""The client's end of a request, while its answer is made.

A server does not interrupt an app whose client has left: `send` goes on without effect (the ASGI specification lets it
raise OSError from version 2.4 on, and most servers do not), and only `receive` tells, by `http.disconnect`.  So
somebody has to wait for that message, or the model goes on generating for nobody.  Of a client that is still there but
has stopped reading, such as a laptop with its lid closed, nobody tells at all: `send` just never returns.

Inside `async with ClientConnection(...)` both end the block: it is cancelled where it stands, and ClientGone is raised
from it, in the way of `asyncio.timeout`.  So the app that makes the answer is straight-line code, and closes its
upstream by leaving blocks:

    async with ClientConnection(receive, send) as client, await upstream.open(...) as answer:
        await client.start(200, headers)
        async with Paced(answer.chunks(), every=12.0) as chunks:
            async for chunk in chunks:
                await client.send(PING if chunk is None else translate(chunk))
        await client.end()

Only that app may use it: of two that wait on one `receive`, each would take messages from the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from asgi_llmgate._types import Message, Receive, Send
from asgi_llmgate.concurrency.cancellation import CancelScope, end
from asgi_llmgate.errors import ClientGone

LAST_WORDS = 2.0
"""Seconds for the end of an answer to go out where there is no time for more."""


class ClientConnection:
    """`stall` is how many seconds one `send` may take; None is no bound.  What is left of the body is thrown away."""

    def __init__(self, receive: Receive, send: Send, *, stall: float | None = 60.0) -> None:
        self.started = False
        """Whether an answer has begun: from then on an error can only be told in its body."""

        self.ended = False
        """Whether it is whole."""

        self._receive = receive
        self._send = send
        self._stall = stall
        self._sending_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._scope = CancelScope()
        self._watcher: asyncio.Task[None] | None = None

    async def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send the head of the answer."""
        self.started = True
        await self._pass_on({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def send(self, chunk: bytes) -> None:
        """Send a part of the body; nothing goes out for an empty one."""
        if chunk:
            await self._pass_on({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, chunk: bytes = b"") -> None:
        """Send the last part.  Settle the outcome before: servers say `http.disconnect` after a whole answer, too."""
        self.ended = True
        await self._pass_on({"type": "http.response.body", "body": chunk, "more_body": False})

    def hurry(self, seconds: float = LAST_WORDS) -> None:
        """From now on one `send` may take so long at the most, and one that waits already so long from now."""
        self._stall = seconds if self._stall is None else min(seconds, self._stall)
        if self._sending_since is not None:
            self._sending_since = self._loop.time()
        self._stop_timer()
        self._timer = self._loop.call_later(self._stall, self._check_stall, self._stall)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._scope.__enter__()
        self._watcher = self._loop.create_task(self._watch())
        if self._stall is not None:
            self._timer = self._loop.call_later(self._stall, self._check_stall, self._stall)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_timer()
        watcher, self._watcher = self._watcher, None
        assert watcher is not None
        try:
            self._scope.__exit__(kind, error, trace)
        finally:
            await end(watcher)

    async def _pass_on(self, message: Message) -> None:
        self._sending_since = self._loop.time()
        try:
            await self._send(message)
        except OSError:
            raise ClientGone from None
        finally:
            self._sending_since = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _watch(self) -> None:
        try:
            while (await self._receive())["type"] != "http.disconnect":
                pass
        except Exception:  # noqa: S110  a server whose receive fails has lost the connection
            pass
        if not self.ended:
            self._scope.cancel(ClientGone)

    def _check_stall(self, stall: float) -> None:
        # One timer for all sends: arming one for each would cost more than most sends do.
        now = self._loop.time()
        due = stall + (now if self._sending_since is None else self._sending_since)
        if due <= now:
            self._scope.cancel(ClientGone)
        else:
            self._timer = self._loop.call_at(due, self._check_stall, stall)
