"""The ledger: a sink whose records end up in a database, once each, whatever dies on the way.

    emit   the request's own thread: one line into the journal, which a killed process leaves behind.  Nothing else
    drain  a thread of the ledger (drainer.py): from the journal into the database

The thread starts with the first record, or when `/readyz` is first asked, so that a process without calls takes over
what dead ones have left; it belongs to no event loop.  What can go wrong, and what then happens:

    the database is away     the journal grows and is drained when it is back           /readyz: 200, limping
    the journal is full      records wait in memory, up to `MEMORY` of them; later      /readyz: 503
                             ones are dropped and counted
    the thread ends          the next record, or look at `/readyz`, starts another      /readyz: 200, limping
    a line is damaged,       it is kept in `rejected.txt` in the journal's folder       told in the log
    or a row is refused

None is a reason to refuse a request, and the other sinks have the record in any case.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from asgi_llmgate.asgi import Health
from asgi_llmgate.usage.ledger.database import Database
from asgi_llmgate.usage.ledger.drainer import FIRST_PAUSE, LONGEST_PAUSE, Drainer, Status, keep_draining
from asgi_llmgate.usage.ledger.journal import Journal
from asgi_llmgate.usage.ledger.rows import encode
from asgi_llmgate.usage.record import UsageRecord

MEMORY = 10_000
"""Records that are kept while they cannot be written to the journal."""

_LINGER = 0.5


class State(NamedTuple):
    """How the ledger is: `journal` and `database` are True while they work, `waiting` counts the records in memory,
    `dropped` those that are lost to the ledger."""

    journal: bool
    database: bool
    waiting: int
    dropped: int


class Ledger:
    """Writes records to the database at `url` by way of a journal in the folder `journal`, and forgets them after
    `keep` seconds (None: never).  A batch is inserted `linger` seconds after its first record.  `now` is the clock that
    a record's age is read from, in Unix seconds.

    One per process is enough for any number of event loops.  Several processes share database and journal folder.
    """

    def __init__(
        self,
        url: sa.URL | str,
        *,
        journal: str | Path,
        keep: float | None = None,
        linger: float = _LINGER,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.database = Database(url)
        self._journal = Journal(Path(journal))
        self._keep = keep
        self._now = now
        self._linger = linger
        self._status = Status()
        self._thread: threading.Thread | None = None
        self._stop: threading.Event
        self._reset()
        _forget_after_fork(self)

    def emit(self, record: UsageRecord) -> None:
        line = encode(record)
        try:
            self._journal.append(line)
        except OSError as error:
            self._status.journal_fails(error)
            self._remember(line)
        else:
            if not self._status.journal:
                self._status.journal_works()
        self._news.set()
        self._run()

    @property
    def state(self) -> State:
        return State(self._status.journal, self._status.database, len(self._memory), self._status.dropped)

    def health(self) -> Health:
        """For `/readyz`.  Without a journal a process that ends loses records; without the database none is lost, and
        as all processes share it, none would be left to serve.  Sees to it that the ledger's thread runs."""
        self._run()
        broken = () if self._status.journal else ("ledger journal",)
        limping = {"ledger database": self._status.database, "ledger thread": self._status.thread}
        return Health(broken, tuple(name for name, works in limping.items() if not works))

    async def aclose(self, timeout: float = 10.0) -> None:
        """Insert what is there, wait for that no longer than `timeout` seconds, and let go of everything.

        What could not be inserted stays in the journal for others.  A later record starts the ledger again.
        """
        with self._starting:
            thread, self._thread = self._thread, None
            self._start_at, self._pause = -LONGEST_PAUSE, FIRST_PAUSE
            stop, self._stop = self._stop, threading.Event()
        if thread is not None:
            stop.set()
            self._news.set()
            await asyncio.to_thread(thread.join, timeout)

    def drain(self) -> bool:
        """Insert all that is in the journal, now, in this thread; True when nothing is left.  For tools, where no
        record is emitted."""
        drainer = self._drainer()
        try:
            return drainer.once()
        finally:
            drainer.close()

    def forget(self) -> None:
        """Start anew in the child of a fork: thread, lock, connections and segments belong to the parent."""
        self._journal.forget()
        self.database.forget()
        self._reset()

    def _reset(self) -> None:
        self._memory: deque[bytes] = deque()
        self._thread = None
        self._starting = threading.Lock()
        self._start_at, self._pause = -LONGEST_PAUSE, FIRST_PAUSE
        self._news, self._stop = threading.Event(), threading.Event()

    def _run(self) -> None:
        """Start the thread where there is none.  One that cannot be had is tried again after a pause."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            return
        with self._starting:
            thread = self._thread
            if thread is not None:
                if thread.is_alive():
                    return
                self._status.thread_fails(None)
            if time.monotonic() >= self._start_at:
                self._start()

    def _start(self) -> None:
        now = time.monotonic()
        self._pause = FIRST_PAUSE if now - self._start_at > LONGEST_PAUSE else min(self._pause * 2, LONGEST_PAUSE)
        self._start_at = now + self._pause
        arguments = (self._drainer, self._status, self._news, self._stop, self._linger)
        thread = threading.Thread(target=keep_draining, args=arguments, name="llmgate-ledger", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            self._status.thread_fails(error)
        else:
            self._thread = thread

    def _drainer(self) -> Drainer:
        return Drainer(self._journal, self._memory, self.database, self._status, keep=self._keep, now=self._now)

    def _remember(self, line: bytes) -> None:
        if len(self._memory) < MEMORY:
            self._memory.append(line)
        else:
            self._status.dropped += 1


_alive: weakref.WeakSet[Ledger] = weakref.WeakSet()
_registered = False


def _forget_after_fork(ledger: Ledger) -> None:
    """Have `ledger.forget()` called in every process that is forked from this one."""
    global _registered
    _alive.add(ledger)
    # A process id compared at the next record, as the access log does it, would not do: the child has copies of the
    # journal's descriptors, and keeps a dead parent's segments locked until it closes them.  Importing this module
    # registers nothing; the first ledger does.
    if not _registered:
        _registered = True
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    for ledger in list(_alive):
        ledger.forget()
