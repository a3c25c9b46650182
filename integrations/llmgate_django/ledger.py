"""Usage records as rows of the site's database.

`emit` only puts a record into memory; the database thread inserts whatever is waiting there.  While the database does
not answer, records wait, up to LIMIT of them; each further call is another try.  A record that is in memory when the
process is killed (kill -9, power) is not in the table: the access log, which is written before the client sees the end
of its answer, has it.
"""

from __future__ import annotations

import logging
import os
import threading
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

from asgi_llmgate import UsageRecord as Record
from llmgate_django.models import UsageRecord
from llmgate_django.thread import DatabaseThread

log = logging.getLogger("llmgate.django")

BATCH = 500
LIMIT = 10_000

_UNFIT = (DataError, IntegrityError, OverflowError, TypeError, ValueError)
"""What is wrong with a row; anything else is wrong with the database, and gets better."""


class DjangoLedger:
    """A sink.  `lost` counts the records that found no room."""

    def __init__(self, thread: DatabaseThread) -> None:
        self._thread = thread
        self._processes = {os.getpid(): _Process()}
        self.lost = 0

    def emit(self, record: Record) -> None:
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

    def _of_this_process(self) -> _Process:
        # A fork copies the waiting records, which the parent inserts, and the lock, which a thread of it may hold.
        # os.register_at_fork would tell of a fork at once, but a hook can never be taken back from the host's process.
        found = self._processes.get(os.getpid())
        return found or self._processes.setdefault(os.getpid(), _Process())

    def _start(self) -> None:
        try:
            self._thread.submit(self._drain).add_done_callback(self._done)
        except RuntimeError as error:  # no thread can be had; the next record is another try
            self._failed(error)

    def _drain(self) -> None:
        process = self._of_this_process()
        while batch := self._next_batch(process):
            insert(batch)
            with process.lock:
                for _ in batch:
                    process.waiting.popleft()

    def _next_batch(self, process: _Process) -> list[Record]:
        with process.lock:
            return list(islice(process.waiting, BATCH))

    def _done(self, drained: Future[None]) -> None:
        if (error := drained.exception()) is not None:
            self._failed(error)
            return
        process = self._of_this_process()
        with process.lock:
            process.failing = False
            process.busy = again = bool(process.waiting)
        if again:
            self._start()

    def _failed(self, error: BaseException) -> None:
        process = self._of_this_process()
        with process.lock:
            logged, process.failing = process.failing, True
            process.busy = False
        if not logged:
            log.error("usage records wait, the database fails", exc_info=error)


class _Process:
    """What belongs to one process, and not to those that are forked from it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: deque[Record] = deque()
        self.busy = False
        self.failing = False


def insert(records: Sequence[Record]) -> None:
    """Write them, those that are there already excepted; one that the database cannot hold is left out and logged.

    Raises django.db.Error where nothing can be written now.
    """
    try:
        UsageRecord.objects.bulk_create([row(record) for record in records], ignore_conflicts=True)
    except _UNFIT as error:
        if len(records) == 1:
            log.error("the database cannot hold usage record %s: %s", records[0].request_id, type(error).__name__)
            return
        for record in records:
            insert([record])


def row(record: Record) -> UsageRecord:
    return UsageRecord(**{column.name: _value(column, getattr(record, column.name)) for column in COLUMNS})


def _value(column: models.Field[Any, Any], value: Any) -> Any:
    match value:
        case str() if isinstance(column, models.DateTimeField):
            moment = datetime.fromisoformat(value)
            return moment if settings.USE_TZ else timezone.make_naive(moment, timezone.get_default_timezone())
        case str():
            return _clean(value)[: column.max_length]
        case _:
            return _clean(value)


def _clean(value: Any) -> Any:
    """JSON values without NUL characters, which PostgreSQL's text has not."""
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
