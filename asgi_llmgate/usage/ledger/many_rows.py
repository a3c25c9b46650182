"""Many rows to and from the database, a few at a time.

The ledger's thread shares the interpreter with the event loop.  A thread that computes gives it away only after
`sys.getswitchinterval()`, 5 ms, and one that waits for SQLite a moment has it back before another thread wakes up: the
loop would have that delay in each of its turns.  So the thread pauses after each half millisecond of work.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

from asgi_llmgate.usage.ledger.rows import Row, encode_values
from asgi_llmgate.usage.ledger.schema import ROLLUPS, SUMS

T = TypeVar("T")

_PIECE = 20
"""Rows between two pauses: about half a millisecond of work."""

_MANY = 128
"""Values that are looked up at once."""


def in_pieces(items: Iterable[T], pause: float) -> Iterator[T]:
    """The items, with a pause of so many seconds after each few of them."""
    for count, item in enumerate(items, 1):
        yield item
        if pause and count % _PIECE == 0:
            time.sleep(pause)


def insert_rows(connection: sa.Connection, table: sa.Table, new: list[Row], pause: float) -> None:
    """Insert rows; those of a rollup are added to what is there."""
    if not new:
        return
    # One statement that the driver repeats.  A statement of many rows at once is another for each number of rows, and
    # SQLite keeps 128 of them compiled, at up to a megabyte each.  The driver gets the rows from here, because
    # SQLAlchemy's processing of their values takes longer than the insert itself.
    statement = _statement(table, connection.dialect, tuple(new[0]))
    encoded = [name for name in new[0] if isinstance(table.c[name].type, sa.JSON)]
    # SQLite's driver binds values by position faster than by name.
    values = itemgetter(*statement.positiontup) if statement.positiontup else dict
    for piece in _pieces(in_pieces(new, pause), _PIECE):
        ready = [encode_values(row, encoded) for row in piece] if encoded else piece
        connection.exec_driver_sql(str(statement), list(map(values, ready)))


def find_known(connection: sa.Connection, column: sa.Column[Any], values: list[str], pause: float) -> set[str]:
    """Which of the values are in the column."""
    found: set[str] = set()
    for some in _pieces(in_pieces(values, pause), _MANY):
        found.update(connection.scalars(sa.select(column).where(column.in_(padded(some)))))
    return found


def insert_of(table: sa.Table, dialect: sa.Dialect) -> Any:
    """An insert that may have ON CONFLICT, which is a method of the two dialects' own inserts."""
    return (postgresql if dialect.name == "postgresql" else sqlite).insert(table)


def padded(values: list[str]) -> list[str]:
    """The values, the last one repeated until they are as many as a power of two: a statement with a list is another
    one for each length, and SQLite and SQLAlchemy keep them compiled."""
    return values + values[-1:] * ((1 << (len(values) - 1).bit_length()) - len(values)) if values else values


@lru_cache(maxsize=16)
def _statement(table: sa.Table, dialect: sa.Dialect, columns: tuple[str, ...]) -> SQLCompiler:
    insert = insert_of(table, dialect)
    if table in ROLLUPS:
        sums = {name: table.c[name] + insert.excluded[name] for name in SUMS}
        insert = insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=sums)
    compiled: SQLCompiler = insert.compile(dialect=dialect, column_keys=columns)
    return compiled


def _pieces(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while piece := list(islice(rest, size)):
        yield piece
