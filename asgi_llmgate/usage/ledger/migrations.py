"""From the tables of an older version to those of today, without stopping the gateways of the older one.

There are two kinds of change:

    a new table or column    is added where it is missing.  Gateways of older versions go on writing: they name the
                             columns that they know, and the new ones get their default.
    any other change         is a migration, a function below.  The version of the tables is the number of migrations.
                             Gateways of older versions do not write any more: they keep their records in the journal,
                             and a newer gateway inserts them.

So after a rollback to a version with the same number of migrations nothing has to be done, and during a rolling
deployment both versions write.

There is no Alembic, because the database may be the host's own, where the host's migrations must not meet a second set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from asgi_llmgate.usage.ledger.schema import metadata, usage_record, usage_schema, usage_series

_LOCK_TIMEOUT = "5s"
"""PostgreSQL: a new column waits so long for a report that reads the table, and all others wait behind it.  Then it is
tried again later, as after any error of the database."""


class NewerSchema(Exception):
    """The tables were changed by a newer version of this package, in a way that this one does not know."""


def _create_tables(connection: sa.Connection) -> None:
    metadata.create_all(connection)


def _use_autoincrement(connection: sa.Connection) -> None:
    """Version 2: in SQLite the id of a deleted last row was used again.

    AUTOINCREMENT can be set only when a table is created, so both tables are copied.
    """
    if connection.dialect.name == "sqlite":
        for table in (usage_record, usage_series):
            _recreate(connection, table)


MIGRATIONS: tuple[Callable[[sa.Connection], None], ...] = (_create_tables, _use_autoincrement)
VERSION = len(MIGRATIONS)


def migrate(connection: sa.Connection) -> None:
    """Create or upgrade the tables, within the transaction of `connection`.  Raises NewerSchema."""
    usage_schema.create(connection, checkfirst=True)
    found: Any = connection.scalar(sa.select(sa.func.max(usage_schema.c.version))) or 0
    if found > VERSION:
        raise NewerSchema(
            f"the ledger's tables have version {found}, but this llmgate knows only up to {VERSION}: upgrade it"
        )
    # A new database needs only the first: it creates the tables as they are today.
    for step in MIGRATIONS[found:] if found else MIGRATIONS[:1]:
        step(connection)
    if found < VERSION:
        connection.execute(usage_schema.insert().values(version=VERSION))
    if found:
        _add_missing(connection)


def _add_missing(connection: sa.Connection) -> None:
    """Create the tables and columns that the database lacks.  What it has besides is left alone."""
    there = set(sa.inspect(connection).get_table_names())
    for table in metadata.sorted_tables:
        if table.name not in there:
            table.create(connection)
            continue
        # The names of the columns; reflection would ask for far more.
        columns = set(connection.execute(sa.select(sa.text("*")).select_from(table).limit(0)).keys())
        for column in table.columns:
            if column.name not in columns:
                _add_column(connection, table, column)


def _add_column(connection: sa.Connection, table: sa.Table, column: sa.Column[Any]) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
    definition = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")


def _recreate(connection: sa.Connection, table: sa.Table) -> None:
    """Create a table of SQLite again and copy its rows."""
    old = f"{table.name}_old"
    columns = ", ".join(column["name"] for column in sa.inspect(connection).get_columns(table.name))
    for index in table.indexes:
        index.drop(connection)  # the new table has an index of the same name
    connection.exec_driver_sql(f"ALTER TABLE {table.name} RENAME TO {old}")
    table.create(connection)
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {old}")  # noqa: S608
    connection.exec_driver_sql(f"DROP TABLE {old}")
