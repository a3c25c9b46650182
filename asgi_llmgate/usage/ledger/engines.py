"""SQLAlchemy engines for the ledger: which databases are supported, and how a connection is set up."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.extras import needs_extra

DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
"""Scheme of a URL in the settings -> SQLAlchemy's dialect and driver."""

_SQLITE_TIMEOUT = 30
"""Seconds that a writer waits for the lock of another one."""


def parse_url(text: str, folder: Path) -> sa.URL:
    """Parse `sqlite:///FILE` (relative to `folder`) or `postgresql://...`, and add the driver.

    Raises SettingsError; its message does not contain the text, because a password may be in it.
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
        with needs_extra("postgresql", "PostgreSQL"):
            import psycopg  # noqa: F401
    return url


def make_engine(url: sa.URL) -> sa.Engine:
    """An engine for a URL of `parse_url`.  Errors and logs of it do not contain the values of rows."""
    return _sqlite(url) if url.get_backend_name() == "sqlite" else _postgresql(url)


def _postgresql(url: sa.URL) -> sa.Engine:
    options = {"connect_timeout": 10, "application_name": "llmgate"}
    # Two connections: one for the ledger's thread, one for a reader.  pre_ping notices a server that was restarted.
    return sa.create_engine(url, connect_args=options, pool_size=2, pool_pre_ping=True, hide_parameters=True)


def _sqlite(url: sa.URL) -> sa.Engine:
    """https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#enabling-non-legacy-sqlite-transactional-modes"""
    assert url.database is not None
    Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite would create the file readable for everybody, depending on the umask.
    with suppress(FileExistsError):
        os.close(os.open(url.database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    engine = sa.create_engine(url, connect_args={"timeout": _SQLITE_TIMEOUT}, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # sqlite3 would begin transactions by itself
        connection.execute("PRAGMA journal_mode = WAL")  # readers do not wait for a writer
        connection.execute("PRAGMA synchronous = FULL")  # a segment is deleted after the commit, so it must be on disk

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A transaction that begins as a reader and then writes fails at once if another writer was faster.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
