"""The ledger: a sink whose records are written to a database, each exactly once, even if a process is killed.

    emit     in the request: appends one line to the journal, which survives a killed process.  Nothing else.
    drainer  a thread of the ledger (drainer.py): moves the lines from the journal into the database.

The thread starts with the first record, or when `/readyz` is asked for the first time, so that a process without calls
also takes over the journal of processes that have ended.  The thread belongs to no event loop.

Failures and their consequences:

    the database is down     the journal grows, and is drained when the database is back  /readyz: 200, limping
    the journal is full      records wait in memory, up to MAX_IN_MEMORY of them;         /readyz: 503
                             later ones are dropped and counted
    the thread ends          the next record or the next `/readyz` starts another         /readyz: 200, limping
    a line is damaged, or    it is kept in `rejected.txt` in the journal's folder         a line in the log
    a row is refused

No request is refused because of these, and the other sinks get the record in any case.
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
from asgi_llmgate.usage.ledger.drainer import MAX_RETRY_DELAY, MIN_RETRY_DELAY, Drainer, run_drainers
from asgi_llmgate.usage.ledger.journal import Journal
from asgi_llmgate.usage.ledger.rows import encode
from asgi_llmgate.usage.ledger.status import Status
from asgi_llmgate.usage.record import UsageRecord

MAX_IN_MEMORY = 10_000
"""Records that are kept in memory while the journal cannot be written."""

_LINGER = 0.5
"""Seconds from a record to its insert, so that one transaction takes several records."""


_PAUSE = 0.0005
"""Seconds that the ledger's thread gives to other threads after each few rows."""


class LedgerState(NamedTuple):
    """The state of a ledger: whether `journal` and `database` work, the number of records that are `waiting` in memory,
    and of those that were `dropped` because there was no place to keep them."""

    journal: bool
    database: bool
    waiting: int
    dropped: int


class Ledger:
    """A sink that writes records to the database at `url`, through a journal in the folder `journal`.

    Records are deleted after `keep` seconds, verdicts on tool calls after `keep_verdicts` (None: never).  With `notify`
    flags are marked in the database as such that a webhook is to be sent for.  A batch is inserted `linger` seconds
    after its first record.  `now` is the clock for the age of records, in Unix seconds.

    One ledger per process serves any number of event loops.  Several processes may share database and journal folder.
    """

    def __init__(
        self,
        url: sa.URL | str,
        *,
        journal: str | Path,
        keep: float | None = None,
        keep_verdicts: float | None = None,
        notify: bool = False,
        linger: float = _LINGER,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.database = Database(url, pause=_PAUSE)
        self._journal = Journal(Path(journal))
        self._keep, self._keep_verdicts, self._notify = keep, keep_verdicts, notify
        self._now = now
        self._linger = linger
        self._status = Status()
        self._thread: threading.Thread | None = None
        self._stop: threading.Event
        self._reset()
        _call_after_fork(self)

    def emit(self, record: UsageRecord) -> None:
        """Append the record to the journal, or keep it in memory if that fails.  Does not raise."""
        line = encode(record)
        try:
            self._journal.append(line)
        except OSError as error:
            self._status.journal_fails(error)
            self._keep_in_memory(line)
        else:
            if not self._status.journal:
                self._status.journal_works()
        if not self._news.is_set():  # setting it takes a lock
            self._news.set()
        self._ensure_thread()

    @property
    def state(self) -> LedgerState:
        """The current state, for tools and tests."""
        return LedgerState(self._status.journal, self._status.database, len(self._memory), self._status.dropped)

    def health(self) -> Health:
        """The state for `/readyz`.  Also starts the ledger's thread if it does not run."""
        # Without a journal a process that ends loses records, so it should get no requests.  A database is shared: if
        # it counted as broken, all processes would fail at once although no record is lost.
        self._ensure_thread()
        broken = () if self._status.journal else ("ledger journal",)
        limping = {"ledger database": self._status.database, "ledger thread": self._status.thread}
        return Health(broken, tuple(name for name, works in limping.items() if not works))

    async def aclose(self, timeout: float = 10.0) -> None:
        """Insert what is there and stop the thread; wait for that at most `timeout` seconds.

        What could not be inserted stays in the journal.  A later record starts the thread again.
        """
        with self._starting:
            # With a new `_stop`, or a thread that starts later would end at once.
            thread, self._thread = self._thread, None
            self._retry_at, self._retry_delay = -MAX_RETRY_DELAY, MIN_RETRY_DELAY
            stop, self._stop = self._stop, threading.Event()
        if thread is not None:
            stop.set()
            self._news.set()
            await asyncio.to_thread(thread.join, timeout)

    def drain(self) -> bool:
        """Insert everything in the journal now, in the calling thread.  Returns True if nothing is left.

        For tools that emit no records themselves.
        """
        drainer = self._make_drainer()
        try:
            return drainer.drain()
        finally:
            drainer.close()

    def after_fork(self) -> None:
        """For the child of a fork: thread, locks, connections and segments belong to the parent, so make new ones."""
        self._journal.after_fork()
        self.database.after_fork()
        self._reset()

    def _reset(self) -> None:
        self._memory: deque[bytes] = deque()
        self._thread = None
        self._starting = threading.Lock()
        self._retry_at, self._retry_delay = -MAX_RETRY_DELAY, MIN_RETRY_DELAY
        self._news, self._stop = threading.Event(), threading.Event()

    def _ensure_thread(self) -> None:
        """Start the thread if there is none.  If it cannot be started, try again after a delay."""
        # First without the lock, since every request comes here.
        thread = self._thread
        if thread is not None and thread.is_alive():
            return
        with self._starting:
            thread = self._thread  # another request may have started it while this one waited for the lock
            if thread is not None:
                if thread.is_alive():
                    return
                self._status.thread_fails(None)
            if time.monotonic() >= self._retry_at:
                self._start()

    def _start(self) -> None:
        now = time.monotonic()
        waited = now - self._retry_at > MAX_RETRY_DELAY
        self._retry_delay = MIN_RETRY_DELAY if waited else min(self._retry_delay * 2, MAX_RETRY_DELAY)
        self._retry_at = now + self._retry_delay
        # A daemon thread does not keep the interpreter from exiting; what it has not inserted is in the journal.
        arguments = (self._make_drainer, self._status, self._news, self._stop, self._linger)
        thread = threading.Thread(target=run_drainers, args=arguments, name="llmgate-ledger", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system allows no more threads
            self._status.thread_fails(error)
        else:
            self._thread = thread

    def _make_drainer(self) -> Drainer:
        return Drainer(
            self._journal,
            self._memory,
            self.database,
            self._status,
            keep=self._keep,
            keep_verdicts=self._keep_verdicts,
            notify=self._notify,
            now=self._now,
        )

    def _keep_in_memory(self, line: bytes) -> None:
        if len(self._memory) < MAX_IN_MEMORY:
            self._memory.append(line)
        else:
            self._status.dropped += 1


# Every ledger of this process, for the fork hook.
_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()
_registered = False


def _call_after_fork(ledger: Ledger) -> None:
    """Have `ledger.after_fork()` called in every process that is forked from this one."""
    global _registered
    _ledgers.add(ledger)
    # The access log compares process ids at the next record instead.  That would be too late here: the child has copies
    # of the journal's file descriptors, and the segments of a parent that has ended stay locked until they are closed.
    # Importing this module registers no hook; the first ledger does.
    if not _registered:
        _registered = True
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    for ledger in list(_ledgers):
        ledger.after_fork()
