"""The ledger: a sink whose records end up in a database, once each, whatever dies on the way.

    emit   the request's own thread: one line into the journal, which a killed process leaves behind.  Nothing else
    drain  a thread of the ledger: takes the segments written so far, and those of dead processes, inserts them in
           batches, deletes each segment after its commit

The thread starts with the first record and belongs to no event loop.  What can go wrong, and what then happens:

    the database is away     the journal grows and is drained when it is back           /readyz: 200, limping
    the journal is full      records wait in memory, up to `MEMORY` of them; later      /readyz: 503
                             ones are dropped and counted
    a line is damaged        it is kept in `rejected.txt` in the journal's folder       told in the log
    a row is refused         the same

Neither is a reason to refuse a request, and the other sinks have the record in any case.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from asgi_llmgate.asgi import Health
from asgi_llmgate.usage.ledger.database import Database
from asgi_llmgate.usage.ledger.journal import Journal, Segment
from asgi_llmgate.usage.ledger.rows import decode, encode
from asgi_llmgate.usage.record import UsageRecord

log = logging.getLogger("llmgate")

MEMORY = 10_000
"""Records that are kept while they cannot be written to the journal."""

BATCH = 500
REJECTED = "rejected.txt"

_LINGER = 0.5
_LOOK_AROUND = 10.0
_LONGEST_PAUSE = 30.0
_HOUR = 3600.0


class State(NamedTuple):
    """How the ledger is: `journal` and `database` are True while they work, `waiting` counts the records in memory,
    `dropped` those that are lost to the ledger."""

    journal: bool
    database: bool
    waiting: int
    dropped: int


class Ledger:
    """Writes records to the database at `url` by way of a journal in `journal`, and forgets them after `keep` seconds
    (None: never).  A batch is inserted `linger` seconds after its first record.

    One per process is enough for any number of event loops.  Several processes share database and journal folder.
    """

    def __init__(
        self, url: sa.URL | str, *, journal: str | Path, keep: float | None = None, linger: float = _LINGER
    ) -> None:
        self._folder = Path(journal)
        self._journal = Journal(self._folder)
        self.database = Database(url)
        self._keep = keep
        self._linger = linger
        self._prune_at = 0.0
        self._journal_good = self._database_good = True
        self._dropped = 0
        self._thread: threading.Thread | None = None
        self._stop: threading.Event
        self.forget()
        _alive.add(self)

    def emit(self, record: UsageRecord) -> None:
        line = encode(record)
        try:
            self._journal.append(line)
            self._journal_good = True
        except OSError as error:
            self._keep_in_memory(line, error)
        self._news.set()
        if self._thread is None:
            self._start()

    @property
    def state(self) -> State:
        return State(self._journal_good, self._database_good, len(self._memory), self._dropped)

    def health(self) -> Health:
        """For `/readyz`.  Without a journal a process that ends loses records; without the database none is lost, and
        as all processes share it, none would be left to serve."""
        broken = () if self._journal_good else ("ledger journal",)
        return Health(broken, () if self._database_good else ("ledger database",))

    async def aclose(self, timeout: float = 10.0) -> None:
        """Insert what is there, wait for that no longer than `timeout` seconds, and let go of everything.

        What could not be inserted stays in the journal for others.  A later record starts the ledger again.
        """
        with self._starting:
            thread, self._thread = self._thread, None
            stop = self._stop
            self._stop = threading.Event()
        if thread is not None:
            stop.set()
            self._news.set()
            await asyncio.to_thread(thread.join, timeout)

    def drain(self) -> bool:
        """Insert all that is in the journal, now, in this thread; True when nothing is left.  For tools, where no
        record is emitted."""
        drainer = _Drainer(self, threading.Event())
        try:
            return drainer.once()
        finally:
            drainer.close()

    def forget(self) -> None:
        """Start anew, as after a fork: thread, lock, connections and segments belong to the parent."""
        self._journal.forget()
        self.database.forget()
        self._memory: deque[bytes] = deque()
        self._thread = None
        self._starting = threading.Lock()
        self._news = threading.Event()
        self._stop = threading.Event()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                run = _Drainer(self, self._stop).run
                self._thread = threading.Thread(target=run, name="llmgate-ledger", daemon=True)
                self._thread.start()

    def _keep_in_memory(self, line: bytes, error: OSError) -> None:
        if self._journal_good:
            log.error("the ledger's journal cannot be written: %s; its records wait in memory", error.strerror)
        self._journal_good = False
        if len(self._memory) < MEMORY:
            self._memory.append(line)
        else:
            self._dropped += 1

    def _probe_journal(self) -> None:
        """A journal that is not good is tried without waiting for a record: where `/readyz` fails, none may come."""
        if not self._journal_good:
            with suppress(OSError):
                self._journal.probe()
                self._journal_good = True

    def _reach(self, error: Exception | None) -> None:
        """Note whether the database works, and say so when that changes."""
        if error is not None and self._database_good:
            kind = type(error.orig if isinstance(error, DBAPIError) and error.orig else error).__name__
            log.error("the ledger's database does not work (%s); records wait in the journal", kind)
        elif error is None and not self._database_good:
            log.warning("the ledger's database works again")
        self._database_good = error is None

    def _reject(self, line: bytes, why: str) -> None:
        log.error("the ledger cannot take a record (%s); it is in %s", why, self._folder / REJECTED)
        try:
            descriptor = os.open(self._folder / REJECTED, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, line + b"\n")
            finally:
                os.close(descriptor)
        except OSError:
            self._dropped += 1


class _Drainer:
    """The ledger's thread.  `_pending` are segments that are taken and not yet inserted, `_held` lines from memory."""

    def __init__(self, ledger: Ledger, stop: threading.Event) -> None:
        self._ledger = ledger
        self.database = ledger.database
        self._stop = stop
        self._pending: list[Segment] = []
        self._held: list[bytes] = []
        self._look_at = 0.0

    def run(self) -> None:
        pause = 0.0
        try:
            while True:
                self._ledger._news.wait(pause or _LOOK_AROUND)
                stopping = self._stop.is_set() or self._stop.wait(pause or self._ledger._linger)
                self._ledger._news.clear()
                good = self.once(last=stopping)
                pause = 0.0 if good else min(pause * 2 or 1.0, _LONGEST_PAUSE)
                if stopping:
                    return
        finally:
            self.close()

    def close(self) -> None:
        """Leave what is not inserted to others."""
        self._ledger._memory.extendleft(reversed(self._held))
        for segment in self._pending:
            segment.close()
        self.database.close()

    def once(self, *, last: bool = True) -> bool:
        """Insert what there is; False when something had to be left for later."""
        self._ledger._probe_journal()
        try:
            if not self._ledger._database_good:
                self.database.ping()
            self._insert_memory()
            if not self._pending or last:
                self._pending += self._ledger._journal.take()
            if last or time.monotonic() >= self._look_at:
                self._look_at = time.monotonic() + _LOOK_AROUND
                self._pending += self._ledger._journal.adopt()
            while self._pending:
                self._insert(segment_lines(self._pending[0]))
                self._pending.pop(0).discard()
            self._forget_old()
        except Exception as error:  # whatever the database or the disk has: it may be better next time
            self._ledger._reach(error)
            return False
        self._ledger._reach(None)
        return True

    def _insert_memory(self) -> None:
        memory, held = self._ledger._memory, self._held
        while memory or held:
            while memory and len(held) < BATCH:
                held.append(memory.popleft())
            self._insert(held)
            held.clear()

    def _insert(self, lines: Iterable[bytes]) -> None:
        for batch in batches(lines):
            records = self._decoded(batch)
            try:
                self.database.insert(records)
            except (OperationalError, InterfaceError):
                raise
            except DBAPIError:
                self._insert_singly(records)

    def _decoded(self, lines: list[bytes]) -> list[UsageRecord]:
        records = []
        for line in lines:
            try:
                records.append(decode(line))
            except ValueError as error:
                self._ledger._reject(line, type(error).__name__)
        return records

    def _insert_singly(self, records: list[UsageRecord]) -> None:
        """One of them is refused; it must not hold up the others."""
        for record in records:
            try:
                self.database.insert([record])
            except (OperationalError, InterfaceError):
                raise
            except DBAPIError as error:
                self._ledger._reject(encode(record), type(error).__name__)

    def _forget_old(self) -> None:
        ledger, now = self._ledger, time.time()
        if now >= ledger._prune_at:
            ledger._prune_at = now + _HOUR
            self.database.thin(int(now))
            if ledger._keep is not None:
                self.database.prune(int(now - ledger._keep))


def segment_lines(segment: Segment) -> Iterator[bytes]:
    return (line for line in segment.lines() if line)


def batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(lines)
    while batch := list(islice(rest, BATCH)):
        yield batch


_alive: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _after_fork() -> None:
    for ledger in list(_alive):
        ledger.forget()


os.register_at_fork(after_in_child=_after_fork)
