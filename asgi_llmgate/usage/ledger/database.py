"""The ledger's database: SQLite in a file, or PostgreSQL, through SQLAlchemy Core.

It is synchronous on purpose.  The writer is a thread of its own, which belongs to no event loop and therefore serves
all of them; a reader (a report, the usage page) uses a thread while it reads.

Only one writer works at a time, so that a batch of records and its rollups are one step: `BEGIN IMMEDIATE` in SQLite,
an advisory lock in PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from asgi_llmgate.usage.ledger import rows
from asgi_llmgate.usage.ledger.engines import make_engine, parse_url
from asgi_llmgate.usage.ledger.many_rows import find_known, in_pieces, insert_of, insert_rows, padded
from asgi_llmgate.usage.ledger.migrations import migrate
from asgi_llmgate.usage.ledger.schema import (
    GRAINS,
    ROLLUPS,
    usage_record,
    usage_rollup,
    usage_series,
    usage_tools,
    usage_verdict,
)
from asgi_llmgate.usage.measurements import OTHER
from asgi_llmgate.usage.record import UsageRecord

_WRITER_LOCK = 0x6C6C6D67
"""Number of the advisory lock in PostgreSQL ("llmg" in ASCII)."""

# Seconds that rollups by the minute and by the hour are kept; those by the day are kept as long as the records.
_KEEP_MINUTES = 2 * 86400
_KEEP_HOURS = 100 * 86400

_PRUNE_BATCH = 5000
"""Rows of one delete: other writers wait while it runs."""


class Database:
    """The tables of a ledger.  Connects at the first use.  All methods block; readers may be in several threads.

    `url`: see `parse_url`; the file of a text is relative to the working directory.  A writer stops for `pause` seconds
    after each few rows, so that other threads of the process go on.
    """

    def __init__(self, url: sa.URL | str, *, pause: float = 0.0) -> None:
        self.url = parse_url(url, Path()) if isinstance(url, str) else url
        self.pause = pause
        self._engine: sa.Engine | None = None
        self._migrated = False

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.url.get_backend_name()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for reading.  From its first statement on it sees one unchanging state of the data."""
        # By default each statement in PostgreSQL sees its own state of the data.
        isolation = {"isolation_level": "REPEATABLE READ"} if self.dialect == "postgresql" else {}
        with self._connected().connect().execution_options(**isolation) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction of the only writer.  It is committed at the end of the block."""
        with self._connected().connect().execution_options(writes=True) as connection, connection.begin():
            if self.dialect == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITER_LOCK)))
            yield connection

    def ping(self) -> None:
        """Connect.  Raises the errors of SQLAlchemy if the database does not work."""
        with self.reading() as connection:
            connection.execute(sa.select(1))

    def migrate(self) -> None:
        """Create or upgrade the tables, once until `close`.  Raises NewerSchema."""
        if not self._migrated:
            with self.writing() as connection:
                migrate(connection)
            self._migrated = True

    def insert(self, records: Sequence[UsageRecord], *, notify: bool = False) -> int:
        """Write records and their verdicts, and add the records to the rollups.  Records that are in the database
        already are skipped.  With `notify`, the webhook is to be sent for each flag.

        Returns the number of new records.
        """
        if not records:
            return 0
        self.migrate()
        pause = self.pause
        made = ((rows.record_row(record), record) for record in in_pieces(records, pause))
        by_id = {row["request_id"]: (row, record) for row, record in made}
        with self.writing() as connection:
            # Only new rows are added up: a segment may be inserted again after a crash.
            known = find_known(connection, usage_record.c.request_id, list(by_id), pause)
            both = [each for request_id, each in by_id.items() if request_id not in known]
            new = [row for row, _ in both]
            self._assign_series(connection, new)
            insert_rows(connection, usage_record, new, pause)
            verdicts = (
                verdict
                for row, record in both
                for verdict in rows.verdict_rows(record, row["series_id"], notify=notify)
            )
            insert_rows(connection, usage_verdict, list(in_pieces(verdicts, pause)), pause)
            insert_rows(connection, usage_rollup, rows.rollups(in_pieces(new, pause)), pause)
            tools = rows.tool_rollups(in_pieces(new, pause), self._known_tools(connection, new))
            insert_rows(connection, usage_tools, tools, pause)
        return len(new)

    def prune(self, before: int) -> int:
        """Delete records that are older than `before` (Unix seconds), and rollups that end before it.

        Returns the number of deleted records.
        """
        self.migrate()
        deleted = self._delete_older(usage_record, before)
        with self.writing() as connection:
            for table in ROLLUPS:
                connection.execute(table.delete().where(table.c.start + table.c.grain <= before))
            # Series that nothing refers to any more.
            left = sa.union(*(sa.select(table.c.series_id) for table in (usage_rollup, usage_record, usage_verdict)))
            connection.execute(usage_series.delete().where(usage_series.c.id.not_in(left)))
        return deleted

    def prune_verdicts(self, before: int) -> int:
        """Delete verdicts that are older than `before` (Unix seconds), also such as the webhook was not sent for.

        Returns their number.
        """
        self.migrate()
        return self._delete_older(usage_verdict, before)

    def thin(self, now: int) -> None:
        """Delete rollups by the minute after two days and by the hour after a hundred; `now` in Unix seconds.

        The rollups by the day contain the same sums.
        """
        self.migrate()
        with self.writing() as connection:
            for table in ROLLUPS:
                for grain, kept in ((60, _KEEP_MINUTES), (3600, _KEEP_HOURS)):
                    old = (table.c.grain == grain) & (table.c.start < now - kept)
                    connection.execute(table.delete().where(old))

    def close(self) -> None:
        """Close all connections.  The next use connects again and checks the tables again."""
        self._migrated = False
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def after_fork(self) -> None:
        """For the child of a fork: drop the connections without closing them, since the parent uses them."""
        if self._engine is not None:
            self._engine.dispose(close=False)
            self._engine = None

    def _delete_older(self, table: sa.Table, before: int) -> int:
        """Delete the rows from before `before`, and return their number."""
        deleted = 0
        old = sa.select(table.c.id).where(table.c.time_ms < before * 1000).limit(_PRUNE_BATCH)
        # In batches, because other writers wait for the end of a transaction.
        while True:
            with self.writing() as connection:
                count = connection.execute(table.delete().where(table.c.id.in_(old))).rowcount
            deleted += count
            if count < _PRUNE_BATCH:
                return deleted

    def _assign_series(self, connection: sa.Connection, records: list[rows.Row]) -> None:
        """Set `series_id` of each row, and write the series that are new."""
        # Rows of the same caller and model are of one series, whose key is a digest: it is made once for all of them.
        same: dict[tuple[Any, ...], list[rows.Row]] = {}
        for row in in_pieces(records, self.pause):
            same.setdefault(rows.series_values(row), []).append(row)
        series = [rows.series_row(each[0]) for each in same.values()]
        ids = self._series_ids(connection, [each["key"] for each in series])
        # A new series is rare, so the known names are read only then.
        if any(each["key"] not in ids for each in series):
            names = self._known_names(connection)
            series = [each if each["key"] in ids else rows.bound_names(each, names) for each in series]
            by_key = {each["key"]: each for each in series}
            ids = self._series_ids(connection, list(by_key))
            if missing := [each for key, each in by_key.items() if key not in ids]:
                insert = insert_of(usage_series, connection.dialect)
                connection.execute(insert.on_conflict_do_nothing(index_elements=["key"]), missing)
                ids = self._series_ids(connection, list(by_key))
        for of_series, each in zip(same.values(), series, strict=True):
            for row in of_series:
                row["series_id"] = ids[each["key"]]

    def _known_names(self, connection: sa.Connection) -> dict[str, set[str]]:
        """The values of each unbounded dimension that are in the ledger."""
        return {
            name: set(connection.scalars(sa.select(usage_series.c[name]).distinct())) - {"", OTHER}
            for name in rows.UNBOUNDED
        }

    def _known_tools(self, connection: sa.Connection, records: list[rows.Row]) -> dict[int, set[str]]:
        """Start of each day of these records -> the tools of that day in the ledger.

        Only as far as needed: all tools of a day are read if one of the records calls a new one.
        """
        names: dict[int, set[str]] = {rows.day_start(row): set() for row in records}
        called = {(rows.day_start(row), tool) for row in records for tool in rows.tools(row)}
        for day in names:
            table = usage_tools.c
            known = sa.select(table.tool).distinct().where(table.grain == GRAINS[-1], table.start == day)
            of_day = {tool for start, tool in called if start == day}
            names[day] = set(connection.scalars(known.where(table.tool.in_(of_day)))) if of_day else set()
            if of_day - names[day]:
                names[day] = set(connection.scalars(known))
            names[day].discard(OTHER)
        return names

    def _series_ids(self, connection: sa.Connection, keys: list[str]) -> dict[str, int]:
        query = sa.select(usage_series.c.key, usage_series.c.id).where(usage_series.c.key.in_(padded(keys)))
        return {row.key: row.id for row in connection.execute(query)}

    def _connected(self) -> sa.Engine:
        if self._engine is None:
            self._engine = make_engine(self.url)
        return self._engine
