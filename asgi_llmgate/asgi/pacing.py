"""Chunks of a stream, and the silence between them.

A client that hears nothing for a while gives up, so an event stream gets a ping where the model thinks for long.  The
ping must not be a second writer beside the one that passes the answer on: it is that writer's wait coming back with
nothing.  The wait cannot simply be cancelled, because a read that is cancelled half-way ends the stream.  So a task of
its own reads, and the writer waits for what it has read.

Per chunk this costs a future.  A task for each read, with `asyncio.wait`, costs six times as much, and a timer for each
wait about the same again; here one timer looks, when it fires, whether there has been silence for long enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from asgi_llmgate.concurrency.cancellation import end

UNREAD = 64 * 1024
"""Bytes that are read ahead of a client that is slower than the model."""


class Paced:
    """The chunks of `source` as they come, those that pile up joined; None after each `every` seconds without one.

    Use it with `async with`, inside the block of whatever `source` reads from.  What `source` raises comes after the
    chunks before it.  With `every=None` there are no pauses.
    """

    def __init__(self, source: AsyncIterator[bytes], *, every: float | None) -> None:
        self._source = source
        self._every = every
        self._chunks: list[bytes] = []
        self._unread = 0
        self._done = False
        self._failure: BaseException | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._waiting_since = 0.0
        self._room: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._reader = self._loop.create_task(self._read())
        if self._every is not None:
            self._timer = self._loop.call_later(self._every, self._check_silence, self._every)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        reader, self._reader = self._reader, None
        assert reader is not None
        try:
            await end(reader)
        finally:
            self._failure = None  # its traceback holds this object

    def __aiter__(self) -> AsyncIterator[bytes | None]:
        return self

    async def __anext__(self) -> bytes | None:
        if not self._chunks and not self._done:
            self._waiting_since = self._loop.time()
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._chunks:
            return self._take()
        if not self._done:
            return None
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    def _take(self) -> bytes:
        chunks = self._chunks
        joined = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._unread = 0
        _resolve(self._room)
        return joined

    async def _read(self) -> None:
        try:
            async for chunk in self._source:
                self._chunks.append(chunk)
                self._unread += len(chunk)
                _resolve(self._waiter)
                if self._unread >= UNREAD:
                    self._room = self._loop.create_future()
                    await self._room
        except (Exception, asyncio.CancelledError) as failure:
            self._failure = failure
        finally:
            self._done = True
            _resolve(self._waiter)

    def _check_silence(self, every: float) -> None:
        now = self._loop.time()
        due = every + self._waiting_since
        if due <= now:
            _resolve(self._waiter)
            due = now + every
        self._timer = self._loop.call_at(due, self._check_silence, every)


def _resolve(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
