"""A sink that writes usage records to the site's own database.

`emit` puts a record into memory; the database thread inserts all records that wait there.  While the database does not
work, up to LIMIT records wait.  Each further record is a reason to try again, and so is each `/readyz`, at most once in
RETRY_DELAY seconds: a site without calls writes its records when the database is back, too.

A record that is in memory when the process is killed (kill -9, power failure) is not in the table.  The access log has
it, because its line is written before the client sees the end of the response.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import DataError, IntegrityError, models
from django.utils import timezone

from asgi_llmgate import Health
from asgi_llmgate import UsageRecord as Record
from llmgate_django.models import UsageRecord
from llmgate_django.thread import DatabaseThread

log = logging.getLogger("llmgate.django")

BATCH = 500
"""Records of one insert."""

LIMIT = 10_000
"""Records that wait in memory; further ones are lost."""

RETRY_DELAY = 5.0
"""Seconds between two tries that have no new record."""

_ROW_ERRORS = (DataError, IntegrityError, OverflowError, TypeError, ValueError)
"""Errors that are due to the values of one row.  After any other error the insert is tried again."""


class DjangoLedger:
    """The sink.  `lost` counts records that were dropped because LIMIT records were waiting."""

    def __init__(self, thread: DatabaseThread) -> None:
        self._thread = thread
        self._processes = {os.getpid(): _Process()}
        self.lost = 0

    def emit(self, record: Record) -> None:
        """Put the record into memory, and start the database thread's work if it has none."""
        process = self._of_this_process()
        with process.lock:
            if len(process.waiting) >= LIMIT:
                self.lost += 1
                return
            process.waiting.append(record)
            idle, process.busy = not process.busy, True
        if idle:
            self._start()

    async def aclose(self) -> None:
        """Insert the records that wait, and log how many could not be inserted."""
        with suppress(Exception):  # the error was logged when the first try failed
            await self._thread.asynchronous(self._drain)()
        if missing := len(self._of_this_process().waiting) + self.lost:
            log.error("%d usage records did not reach the database; the access log has them", missing)

    def health(self) -> Health:
        """For `/readyz`: whether records wait for a database that does not work.

        It counts as limping: all processes use the same database, and would be taken out of service at once.
        """
        process = self._of_this_process()
        with process.lock:
            failing = process.failing
            again = failing and not process.busy and time.monotonic() >= process.failed_at + RETRY_DELAY
            if again:
                process.busy = True
        if again:
            self._start()
        return Health(limping=("ledger database",) if failing else ())

    def _of_this_process(self) -> _Process:
        # A fork copies the waiting records, which the parent inserts, and the lock, which a thread of it may hold.
        # A hook of os.register_at_fork could not be removed from the host's process again.
        found = self._processes.get(os.getpid())
        return found or self._processes.setdefault(os.getpid(), _Process())

    def _start(self) -> None:
        try:
            self._thread.submit(self._drain).add_done_callback(self._on_done)
        except RuntimeError as error:  # the system allows no more threads; the next record tries again
            self._on_error(error)

    def _drain(self) -> None:
        process = self._of_this_process()
        while batch := self._next_batch(process):
            insert(batch)
            # Only now: a batch whose insert fails must stay in memory.
            with process.lock:
                for _ in batch:
                    process.waiting.popleft()

    def _next_batch(self, process: _Process) -> list[Record]:
        with process.lock:
            return list(islice(process.waiting, BATCH))

    def _on_done(self, drained: Future[None]) -> None:
        if (error := drained.exception()) is not None:
            self._on_error(error)
            return
        process = self._of_this_process()
        with process.lock:
            process.failing = False
            process.busy = again = bool(process.waiting)
        if again:
            self._start()

    def _on_error(self, error: BaseException) -> None:
        process = self._of_this_process()
        with process.lock:
            logged, process.failing = process.failing, True
            process.failed_at = time.monotonic()
            process.busy = False
        if not logged:
            log.error("the site's database does not work; usage records wait in memory", exc_info=error)


class _Process:
    """The state of one process; a process that is forked from it gets its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: deque[Record] = deque()
        self.busy = False
        self.failing = False
        self.failed_at = 0.0
        """When the last try failed, in monotonic seconds."""


def insert(records: Sequence[Record]) -> None:
    """Write records; those that are in the table already are skipped.

    A record that the database refuses because of its values is logged and left out.  Raises django.db.Error if the
    database does not work.
    """
    try:
        UsageRecord.objects.bulk_create([row(record) for record in records], ignore_conflicts=True)
    except _ROW_ERRORS as error:
        if len(records) == 1:
            log.error("the database refuses usage record %s (%s)", records[0].request_id, type(error).__name__)
            return
        # The error does not say which row it was, so each is inserted alone.
        for record in records:
            insert([record])


def row(record: Record) -> UsageRecord:
    """The model instance of a usage record."""
    return UsageRecord(**{column.name: _convert(column, _read(record, column.name)) for column in COLUMNS})


def _read(record: Record, column: str) -> Any:
    """The attribute of the record that the column holds."""
    if column == "safeguards":
        return [verdict.public() for verdict in record.safeguards] or None
    return getattr(record, {"provider": "vendor", "subject": "caller"}.get(column, column))


def _convert(column: models.Field[Any, Any], value: Any) -> Any:
    match value:
        case str() if isinstance(column, models.DateTimeField):
            moment = datetime.fromisoformat(value)
            return moment if settings.USE_TZ else timezone.make_naive(moment, timezone.get_default_timezone())
        case str():
            return _clean(value)[: column.max_length]
        case _:
            return _clean(value)


def _clean(value: Any) -> Any:
    """The value without NUL characters, which PostgreSQL does not store."""
    match value:
        case str():
            return value.replace("\0", "")
        case list() | tuple():
            return [_clean(item) for item in value]
        case Mapping():
            return {key: _clean(item) for key, item in value.items()}
        case _:
            return value


COLUMNS: tuple[models.Field[Any, Any], ...] = tuple(
    column for column in UsageRecord._meta.concrete_fields if not column.primary_key
)
