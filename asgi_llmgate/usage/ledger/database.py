"""The ledger's database: SQLite in a file, or PostgreSQL, by way of SQLAlchemy Core.

Synchronous on purpose.  What writes to it is a thread of its own, which belongs to no event loop and so serves all of
them, and what reads from it (a report, the page) takes a thread for as long as it reads; the asynchronous drivers would
do the same behind an event loop that can be closed under them.

Writers take turns, so that a batch and its rollups are one step: `BEGIN IMMEDIATE` in SQLite, an advisory lock in
PostgreSQL.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.usage.ledger import rows
from asgi_llmgate.usage.ledger.schema import (
    GRAINS,
    ROLLUPS,
    SUMS,
    migrate,
    usage_record,
    usage_rollup,
    usage_series,
    usage_tools,
)
from asgi_llmgate.usage.measurements import OTHER
from asgi_llmgate.usage.record import UsageRecord

DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
_WAIT = 30
"""Seconds that a writer waits for its turn."""

_TURN = 0x6C6C6D67
"""The advisory lock's number: "llmg"."""

_MINUTES_KEPT = 2 * 86400
_HOURS_KEPT = 100 * 86400
_PRUNED_AT_ONCE = 5000


def parse_url(text: str, folder: Path) -> sa.URL:
    """`sqlite:///FILE` (relative to `folder`) or `postgresql://...`, with the driver that we use.

    Raises SettingsError, which does not repeat the text: a password may be in it.
    """
    try:
        url = sa.make_url(text)
    except ArgumentError:
        raise SettingsError("not a database URL", hint="such as sqlite:///llmgate.db or postgresql://host/db") from None
    if url.drivername not in DRIVERS:
        raise SettingsError(f"{url.drivername} is not supported", hint="sqlite:///FILE or postgresql://HOST/DATABASE")
    url = url.set(drivername=DRIVERS[url.drivername])
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise SettingsError("a ledger in memory keeps nothing", hint="name a file: sqlite:///llmgate.db")
        url = url.set(database=str(folder.absolute() / url.database))
    else:
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise SettingsError("PostgreSQL needs psycopg", hint="pip install 'asgi-llmgate[postgresql]'") from None
    return url


class Database:
    """One engine.  Connects at the first use; `forget` is for the child of a fork.

    `url`: as for `parse_url`, a file relative to the working directory.
    """

    def __init__(self, url: sa.URL | str) -> None:
        self._url = parse_url(url, Path()) if isinstance(url, str) else url
        self._engine: sa.Engine | None = None
        self._migrated = False

    @property
    def dialect(self) -> str:
        return self._url.get_backend_name()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that only reads, and sees one state of the data from its first statement on."""
        isolation = {"isolation_level": "REPEATABLE READ"} if self.dialect == "postgresql" else {}
        with self._connected().connect().execution_options(**isolation) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction, alone among writers; it is committed at the end of the block."""
        with self._connected().connect().execution_options(writes=True) as connection, connection.begin():
            if self.dialect == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_TURN)))
            yield connection

    def ping(self) -> None:
        """Raises what SQLAlchemy raises where the database does not answer."""
        with self.reading() as connection:
            connection.execute(sa.select(1))

    def migrate(self) -> None:
        """Make or renew the tables, once until `close`.  Raises schema.NewerSchema."""
        if not self._migrated:
            with self.writing() as connection:
                migrate(connection)
            self._migrated = True

    def insert(self, records: Sequence[UsageRecord]) -> int:
        """Write these records and what they add to the rollups; those that are there already are left alone.

        Returns how many were new.
        """
        made = {row["request_id"]: row for row in map(rows.row_of, records)}
        if not made:
            return 0
        self.migrate()
        with self.writing() as connection:
            self._assign_series(connection, list(made.values()))
            statement = self._insert(usage_record).on_conflict_do_nothing(index_elements=["request_id"])
            new = connection.scalars(statement.returning(usage_record.c.request_id), list(made.values())).all()
            fresh = [made[request_id] for request_id in new]
            self._add_up(connection, usage_rollup, rows.rollups(fresh))
            self._add_up(connection, usage_tools, rows.tool_rollups(fresh, self._tools(connection, fresh)))
        return len(fresh)

    def prune(self, before: int) -> int:
        """Delete what is older than this (Unix seconds), some thousand rows at a time; returns the number of records.

        Rollups by the minute and by the hour go earlier than those by the day, which say the same.
        """
        self.migrate()
        deleted = 0
        old = sa.select(usage_record.c.id).where(usage_record.c.time_ms < before * 1000).limit(_PRUNED_AT_ONCE)
        while True:
            with self.writing() as connection:
                count = connection.execute(usage_record.delete().where(usage_record.c.id.in_(old))).rowcount
            deleted += count
            if count < _PRUNED_AT_ONCE:
                break
        with self.writing() as connection:
            for table in ROLLUPS:
                connection.execute(table.delete().where(table.c.start + table.c.grain <= before))
            left = sa.select(usage_rollup.c.series_id).union(sa.select(usage_record.c.series_id))
            connection.execute(usage_series.delete().where(usage_series.c.id.not_in(left)))
        return deleted

    def thin(self, now: int) -> None:
        """Delete the fine rollups that nobody looks at any more: minutes of two days ago, hours of a hundred."""
        self.migrate()
        with self.writing() as connection:
            for table in ROLLUPS:
                for grain, kept in ((60, _MINUTES_KEPT), (3600, _HOURS_KEPT)):
                    old = (table.c.grain == grain) & (table.c.start < now - kept)
                    connection.execute(table.delete().where(old))

    def close(self) -> None:
        """Let go of all connections, and of what is known of the database; the next use begins anew."""
        self._migrated = False
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def forget(self) -> None:
        """Leave the connections to the process that we were forked from."""
        if self._engine is not None:
            self._engine.dispose(close=False)
            self._engine = None

    def _assign_series(self, connection: sa.Connection, made: list[rows.Row]) -> None:
        series = [rows.series_of(row) for row in made]
        found = self._series_ids(connection, [each["key"] for each in series])
        if any(each["key"] not in found for each in series):
            names = self._names(connection)
            series = [each if each["key"] in found else rows.within_room(each, names) for each in series]
            known = {each["key"]: each for each in series}
            found = self._series_ids(connection, list(known))
            if missing := [each for key, each in known.items() if key not in found]:
                connection.execute(self._insert(usage_series).on_conflict_do_nothing(index_elements=["key"]), missing)
                found = self._series_ids(connection, list(known))
        for row, each in zip(made, series, strict=True):
            row["series_id"] = found[each["key"]]

    def _names(self, connection: sa.Connection) -> dict[str, set[str]]:
        """The values that there are in the ledger, by dimension."""
        return {
            name: set(connection.scalars(sa.select(usage_series.c[name]).distinct())) - {"", OTHER}
            for name in rows.INVENTED
        }

    def _tools(self, connection: sa.Connection, made: list[rows.Row]) -> dict[int, set[str]]:
        """The tools of each of their days that the ledger tells apart; all that there are where one is new."""
        names: dict[int, set[str]] = {rows.day_of(row): set() for row in made}
        called = {(rows.day_of(row), tool) for row in made for tool in rows.tools(row)}
        for day in names:
            table = usage_tools.c
            there = sa.select(table.tool).distinct().where(table.grain == GRAINS[-1], table.start == day)
            mine = {tool for start, tool in called if start == day}
            names[day] = set(connection.scalars(there.where(table.tool.in_(mine)))) if mine else set()
            if mine - names[day]:
                names[day] = set(connection.scalars(there))
            names[day].discard(OTHER)
        return names

    def _series_ids(self, connection: sa.Connection, keys: list[str]) -> dict[str, int]:
        query = sa.select(usage_series.c.key, usage_series.c.id).where(usage_series.c.key.in_(keys))
        return {row.key: row.id for row in connection.execute(query)}

    def _add_up(self, connection: sa.Connection, table: sa.Table, made: list[rows.Row]) -> None:
        if made:
            insert = self._insert(table)
            sums = {name: table.c[name] + insert.excluded[name] for name in SUMS}
            place = list(table.primary_key)
            connection.execute(insert.on_conflict_do_update(index_elements=place, set_=sums), made)

    def _insert(self, table: sa.Table) -> Any:
        return (postgresql if self.dialect == "postgresql" else sqlite).insert(table)

    def _connected(self) -> sa.Engine:
        if self._engine is None:
            self._engine = _sqlite(self._url) if self.dialect == "sqlite" else _postgresql(self._url)
        return self._engine


def _postgresql(url: sa.URL) -> sa.Engine:
    options = {"connect_timeout": 10, "application_name": "llmgate"}
    return sa.create_engine(url, connect_args=options, pool_size=2, pool_pre_ping=True, hide_parameters=True)


def _sqlite(url: sa.URL) -> sa.Engine:
    """https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#enabling-non-legacy-sqlite-transactional-modes"""
    assert url.database is not None
    Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(url.database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    engine = sa.create_engine(url, connect_args={"timeout": _WAIT}, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver's own notion of when a transaction begins
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a journal segment is deleted on the word of a commit

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
