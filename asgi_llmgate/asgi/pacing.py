"""The chunks of a stream, and a signal for each silence between them.

A client that receives nothing for a while gives up, so an event stream gets a ping while the model is silent. Only one
task may call `send`. So a ping is not sent by a second task: the wait for the next chunk returns None. That wait cannot
be a cancelled read, because a read that is cancelled half-way ends the stream. So a second task reads, and the sending
task waits for what it has read.

This costs one future per chunk. A task for each read, with `asyncio.wait`, costs six times as much, and a timer for
each wait about the same again; here one timer checks, when it fires, whether the silence has been long enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self, TypeAlias

from asgi_llmgate.concurrency.cancellation import cancel_and_wait

UNREAD = 64 * 1024
"""Bytes that are read ahead of a client that is slower than the model."""

Open: TypeAlias = Callable[[], Awaitable[AbstractAsyncContextManager[AsyncIterator[bytes]]]]


class Paced:
    """The chunks of a source as they come, waiting ones joined; None after each `every` seconds without one.

    `open` opens the source, which counts as silence. Use it with `async with`: leaving the block closes the source. An
    error of the source is raised after the chunks before it. With `every=None` there are no pauses.
    """

    def __init__(self, open: Open, *, every: float | None) -> None:
        self._open = open
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
            await cancel_and_wait(reader)
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
        if chunks := self._chunks:
            joined = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            chunks.clear()
            self._unread = 0
            if self._room is not None:
                _resolve(self._room)
            return joined
        if not self._done:
            return None
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def _read(self) -> None:
        try:
            async with await self._open() as source:
                async for chunk in source:
                    self._chunks.append(chunk)
                    self._unread += len(chunk)
                    waiter = self._waiter
                    if waiter is not None and not waiter.done():
                        waiter.set_result(None)
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
