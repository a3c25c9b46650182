"""From the journal to the database: the ledger's thread, and how it says what does not work.

It takes the segments that this process has written so far, and those of dead processes; inserts their lines in batches;
and deletes each segment after the commit of its last one.  What is refused on its own account is put aside, or it would
hold up everything behind it; whatever else goes wrong is tried again, since nothing is lost meanwhile.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from asgi_llmgate.usage.ledger.database import Database
from asgi_llmgate.usage.ledger.journal import Journal, Segment
from asgi_llmgate.usage.ledger.rows import decode, encode
from asgi_llmgate.usage.ledger.schema import NewerSchema
from asgi_llmgate.usage.record import UsageRecord
from asgi_llmgate.usage.tracebacks import format_traceback

log = logging.getLogger("llmgate")

BATCH = 500
REJECTED = "rejected.txt"

LOOK_AROUND = 10.0
"""Seconds between two looks for what dead processes have left."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
_HOUR = 3600.0

_OF_THE_ROW = (DataError, IntegrityError, ValueError, TypeError, OverflowError)
"""Errors that another try will not mend, and that are one row's alone."""


class Status:
    """What works; the log is told when that changes.  `dropped` counts records that are lost to the ledger."""

    def __init__(self) -> None:
        self.journal = True
        self.database = True
        self.thread = True
        self.dropped = 0

    def journal_fails(self, error: OSError) -> None:
        if self.journal:
            log.error("the ledger's journal cannot be written: %s; its records wait in memory", error.strerror)
        self.journal = False

    def journal_works(self) -> None:
        if not self.journal:
            log.warning("the ledger's journal can be written again")
        self.journal = True

    def database_fails(self, error: Exception) -> None:
        if self.database:
            log.error("the ledger's database does not work (%s); records wait in the journal", _why(error))
        self.database = False

    def database_works(self) -> None:
        if not self.database:
            log.warning("the ledger's database works again")
        self.database = True

    def thread_fails(self, error: BaseException | None) -> None:
        if self.thread:
            why = "it is gone" if error is None else _why(error)
            log.error("the ledger's thread does not work (%s); records wait in the journal", why)
        self.thread = False

    def thread_works(self) -> None:
        if not self.thread:
            log.warning("the ledger's thread works again")
        self.thread = True


class Drainer:
    """Inserts what is in `journal`, and in `memory`; forgets records after `keep` seconds (None: never), and fine
    rollups as `Database.thin` says.  `now`: the clock that their age is read from (Unix seconds)."""

    def __init__(
        self,
        journal: Journal,
        memory: deque[bytes],
        database: Database,
        status: Status,
        *,
        keep: float | None,
        now: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._memory = memory
        self._database = database
        self._status = status
        self._keep = keep
        self._now = now
        self._pending: list[Segment] = []
        self._held: list[bytes] = []
        self._look_at = self._prune_at = 0.0

    def run(self, news: threading.Event, stop: threading.Event, linger: float) -> None:
        """Drain `linger` seconds after there are `news`, more slowly while that fails, until `stop`."""
        pause = 0.0
        try:
            while True:
                news.wait(pause or LOOK_AROUND)
                stopping = stop.wait(pause or linger)
                news.clear()
                good = self.once(last=stopping)
                self._status.thread_works()
                pause = 0.0 if good else min(pause * 2 or FIRST_PAUSE, LONGEST_PAUSE)
                if stopping:
                    return
        finally:
            self.close()

    def once(self, *, last: bool = True) -> bool:
        """Insert what there is; False when something had to be left for later."""
        self._probe_journal()
        try:
            if not self._status.database:
                self._database.ping()
            self._insert_memory()
            self._take(last)
            while self._pending:
                self._insert(line for line in self._pending[0].lines() if line)
                self._pending.pop(0).discard()
            self._forget_old()
        except Exception as error:
            self._status.database_fails(error)
            self._database.close()  # it may be another one when it is back, without our tables
            return False
        self._status.database_works()
        return True

    def close(self) -> None:
        """Leave what is not inserted to others."""
        self._memory.extendleft(reversed(self._held))
        for segment in self._pending:
            segment.close()
        self._database.close()

    def _probe_journal(self) -> None:
        """A journal that fails is tried without waiting for a record: where `/readyz` fails, none may come."""
        if not self._status.journal:
            with suppress(OSError):
                self._journal.probe()
                self._status.journal_works()

    def _take(self, last: bool) -> None:
        if last or not self._pending:  # while the database is away, one segment grows instead of many
            self._pending += self._journal.take()
        if last or time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_AROUND
            self._pending += self._journal.adopt()

    def _insert_memory(self) -> None:
        while self._memory or self._held:
            while self._memory and len(self._held) < BATCH:
                self._held.append(self._memory.popleft())
            self._insert(self._held)
            self._held.clear()

    def _insert(self, lines: Iterable[bytes]) -> None:
        for batch in _batches(lines):
            records = self._decoded(batch)
            try:
                self._database.insert(records)
            except _OF_THE_ROW:
                self._insert_singly(records)

    def _decoded(self, lines: list[bytes]) -> list[UsageRecord]:
        records = []
        for line in lines:
            try:
                records.append(decode(line))
            except ValueError as error:
                self._put_aside(line, error)
        return records

    def _insert_singly(self, records: list[UsageRecord]) -> None:
        for record in records:
            try:
                self._database.insert([record])
            except _OF_THE_ROW as error:
                self._put_aside(encode(record), error)

    def _put_aside(self, line: bytes, error: Exception) -> None:
        path = self._journal.folder / REJECTED
        log.error("the ledger cannot take a record (%s); it is in %s", _why(error), path)
        try:
            _append(path, line + b"\n")
        except OSError:
            self._status.dropped += 1

    def _forget_old(self) -> None:
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + _HOUR
            now = self._now()
            self._database.thin(int(now))
            if self._keep is not None:
                self._database.prune(int(now - self._keep))


def keep_draining(
    make: Callable[[], Drainer], status: Status, news: threading.Event, stop: threading.Event, linger: float
) -> None:
    """What the ledger's thread does until `stop`: a Drainer's `run`, and another's after one has failed, which takes
    over from the journal.  An error that is none of the database's is a defect, but no reason to stop for good."""
    pause = FIRST_PAUSE
    while True:
        began = time.monotonic()
        try:
            return make().run(news, stop, linger)
        except Exception as error:
            status.thread_fails(error)
            log.debug("%s", format_traceback(error))
        pause = FIRST_PAUSE if time.monotonic() - began > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
        if stop.is_set():
            return None
        stop.wait(pause)


def _batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(lines)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _append(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _why(error: BaseException) -> str:
    """Without the message of a driver, which may quote an address or a row."""
    if isinstance(error, NewerSchema):
        return str(error)
    return type(error.orig if isinstance(error, DBAPIError) and error.orig else error).__name__
