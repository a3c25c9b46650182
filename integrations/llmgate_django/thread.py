"""Where the gateway touches the site's database: in one thread of its own.

Django opens a connection per thread.  The default executor of a loop has up to 32 threads, so a busy worker would open
32 connections; and Django's own care for them (closing what is too old or broken) hangs on the signals of its requests,
which are never sent for the gateway's.  The same recipe as Channels' `database_sync_to_async`, with one thread.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connections

P = ParamSpec("P")
R = TypeVar("R")


class DatabaseThread:
    """Starts with the first work, in the process that has some; a process that was forked from one with a thread gets
    its own."""

    def __init__(self) -> None:
        self._pid, self._pool = os.getpid(), ThreadPoolExecutor(1, thread_name_prefix="llmgate-django")

    @property
    def _executor(self) -> ThreadPoolExecutor:
        if self._pid != os.getpid():
            self._pid, self._pool = os.getpid(), ThreadPoolExecutor(1, thread_name_prefix="llmgate-django")
        return self._pool

    def submit(self, work: Callable[[], R]) -> Future[R]:
        """Do it some time; what is waiting when the interpreter ends is done before it ends."""
        return self._executor.submit(_cared_for(work))

    def asynchronous(self, work: Callable[P, R]) -> Callable[P, Awaitable[R]]:
        """The function as a coroutine function."""

        async def called(*args: P.args, **options: P.kwargs) -> R:
            here = sync_to_async(_cared_for(work), thread_sensitive=False, executor=self._executor)
            return await here(*args, **options)

        return called

    async def aclose(self) -> None:
        """Close the thread's connection, which it opens again for later work."""
        await sync_to_async(connections.close_all, thread_sensitive=False, executor=self._executor)()


def _cared_for(work: Callable[P, R]) -> Callable[P, R]:
    @wraps(work)
    def cared_for(*args: P.args, **options: P.kwargs) -> R:
        close_old_connections()
        try:
            return work(*args, **options)
        finally:
            close_old_connections()

    return cared_for
