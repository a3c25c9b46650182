"""The ledger's thread, which moves records from the journal to the database.

It takes the segments that this process has written so far and those of processes that have ended, inserts their lines
in batches, and deletes a segment after its last batch is committed.  A record that the database refuses because of its
values is put into a file of its own, because it would block all records behind it.  After any other error the same work
is done again later; nothing is lost meanwhile.
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

from sqlalchemy.exc import DataError, IntegrityError

from asgi_llmgate.usage.ledger.database import Database
from asgi_llmgate.usage.ledger.journal import Journal, Segment
from asgi_llmgate.usage.ledger.many_rows import in_pieces
from asgi_llmgate.usage.ledger.rows import decode, encode
from asgi_llmgate.usage.ledger.status import Status, describe_error
from asgi_llmgate.usage.record import UsageRecord
from asgi_llmgate.usage.tracebacks import format_traceback

log = logging.getLogger("llmgate")

BATCH = 500
"""Records of one insert."""

REJECTED = "rejected.txt"
"""File in the journal's folder for records that the database refuses."""

ADOPT_INTERVAL = 10.0
"""Seconds between two searches for segments of processes that have ended."""

MIN_RETRY_DELAY, MAX_RETRY_DELAY = 1.0, 30.0
"""Seconds before the same work is done again after an error; doubled each time."""

_PRUNE_INTERVAL = 3600.0

_ROW_ERRORS = (DataError, IntegrityError, ValueError, TypeError, OverflowError)
"""Errors that are due to the values of one row.  Inserting it again would fail again."""


class Drainer:
    """Inserts what is in `journal` and in `memory` into `database`.

    Once an hour it deletes records older than `keep` seconds and verdicts older than `keep_verdicts` (None: never), and
    fine rollups (`Database.thin`).  `now` is the clock for their age, in Unix seconds.  With `notify`, the webhook is
    to be sent for flags.
    """

    def __init__(
        self,
        journal: Journal,
        memory: deque[bytes],
        database: Database,
        status: Status,
        *,
        keep: float | None,
        keep_verdicts: float | None = None,
        notify: bool = False,
        now: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._memory = memory
        self._database = database
        self._status = status
        self._keep = keep
        self._keep_verdicts = keep_verdicts
        self._notify = notify
        self._now = now
        self._segments: list[Segment] = []
        # Lines from `memory` that are being inserted; an error must not lose them.
        self._from_memory: list[bytes] = []
        self._adopt_at = self._prune_at = 0.0

    def run(self, news: threading.Event, stop: threading.Event, linger: float) -> None:
        """Drain until `stop`: `linger` seconds after `news` is set, or after a growing delay while that fails."""
        delay = 0.0
        try:
            while True:
                news.wait(delay or ADOPT_INTERVAL)
                # More records may arrive in this time; they are inserted in the same transaction.
                stopping = stop.wait(delay or linger)
                news.clear()
                complete = self.drain(last=stopping)
                self._status.thread_works()
                delay = 0.0 if complete else min(delay * 2 or MIN_RETRY_DELAY, MAX_RETRY_DELAY)
                if stopping:
                    return
        finally:
            self.close()

    def drain(self, *, last: bool = True) -> bool:
        """Insert everything that is there.  Returns False if something had to be left for later.

        With `last` the segments of other processes are looked for in any case.
        """
        self._probe_journal()
        try:
            if not self._status.database:
                self._database.ping()
            self._insert_memory()
            self._collect_segments(last)
            while self._segments:
                self._insert(line for line in self._segments[0].lines() if line)
                # Only now: the last insert of this segment is committed.
                self._segments.pop(0).discard()
            self._prune()
        except Exception as error:
            self._status.database_fails(error)
            # After an outage it may be another database, without tables; closing makes `migrate` run again.
            self._database.close()
            return False
        self._status.database_works()
        return True

    def close(self) -> None:
        """Leave what is not inserted to other processes, and close the database."""
        self._memory.extendleft(reversed(self._from_memory))
        for segment in self._segments:
            segment.close()
        self._database.close()

    def _probe_journal(self) -> None:
        # A load balancer sends no requests while `/readyz` fails, so no record would ever show that it works again.
        if not self._status.journal:
            with suppress(OSError):
                self._journal.probe()
                self._status.journal_works()

    def _collect_segments(self, last: bool) -> None:
        # While the database is unreachable one segment grows, instead of one more file at each try.
        if last or not self._segments:
            self._segments += self._journal.take()
        if last or time.monotonic() >= self._adopt_at:
            self._adopt_at = time.monotonic() + ADOPT_INTERVAL
            self._segments += self._journal.adopt()

    def _insert_memory(self) -> None:
        while self._memory or self._from_memory:
            while self._memory and len(self._from_memory) < BATCH:
                self._from_memory.append(self._memory.popleft())
            self._insert(self._from_memory)
            self._from_memory.clear()

    def _insert(self, lines: Iterable[bytes]) -> None:
        for batch in _batches(lines):
            records = self._decode(batch)
            try:
                self._database.insert(records, notify=self._notify)
            except _ROW_ERRORS:
                self._insert_singly(records)

    def _decode(self, lines: list[bytes]) -> list[UsageRecord]:
        records = []
        for line in in_pieces(lines, self._database.pause):
            try:
                records.append(decode(line))
            except ValueError as error:
                self._reject(line, error)
        return records

    def _insert_singly(self, records: list[UsageRecord]) -> None:
        for record in records:
            try:
                self._database.insert([record], notify=self._notify)
            except _ROW_ERRORS as error:
                self._reject(encode(record), error)

    def _reject(self, line: bytes, error: Exception) -> None:
        path = self._journal.folder / REJECTED
        log.error("the ledger cannot store a record (%s); it is kept in %s", describe_error(error), path)
        try:
            _append(path, line + b"\n")
        except OSError:
            self._status.dropped += 1

    def _prune(self) -> None:
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + _PRUNE_INTERVAL
            now = self._now()
            self._database.thin(int(now))
            if self._keep_verdicts is not None:
                self._database.prune_verdicts(int(now - self._keep_verdicts))
            if self._keep is not None:
                self._database.prune(int(now - self._keep))


def run_drainers(
    make: Callable[[], Drainer], status: Status, news: threading.Event, stop: threading.Event, linger: float
) -> None:
    """The ledger's thread: runs a Drainer until `stop`, and makes a new one if it fails.

    A Drainer handles errors of the database itself.  Any other error is a defect; the new Drainer starts again from the
    journal, so that records still reach the database.
    """
    delay = MIN_RETRY_DELAY
    while True:
        began = time.monotonic()
        try:
            return make().run(news, stop, linger)
        except Exception as error:
            status.thread_fails(error)
            log.debug("%s", format_traceback(error))
        delay = MIN_RETRY_DELAY if time.monotonic() - began > MAX_RETRY_DELAY else min(delay * 2, MAX_RETRY_DELAY)
        if stop.is_set():
            return None
        stop.wait(delay)


def _batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(lines)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _append(path: Path, data: bytes) -> None:
    # One `write` with O_APPEND: several processes may add to the file at the same time.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
