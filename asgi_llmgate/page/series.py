"""The series of a ledger as the usage page sees them.

A series says everything about its calls except numbers: who called, which model, the outcome, the operator's fields.  A
ledger has a few thousand of them and they never change, so they are kept in memory.  A filter, and the rule about who
may see what, is then a set of series.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import sqlalchemy as sa

from asgi_llmgate.usage.ledger.schema import usage_series

Series = Mapping[str, str]
"""One series: `user`, `model`, `outcome`, ... and the operator's fields; all values are texts."""

Visible = Callable[[Series], bool]
"""Whether the viewer may see the calls of a series."""

_DIMENSIONS = {
    "subject": "user",
    "request_model": "model",
    "client_model": "asked",
    "provider": "provider",
    "backend": "backend",
    "outcome": "outcome",
    "reason": "reason",
    "policy_rule": "rule",
    "issuer": "issuer",
}
"""Column of `usage_series` -> its name on the page and in links."""

BUILT_IN = frozenset(_DIMENSIONS.values())
"""Names of dimensions that are not fields of the operator's own."""


class SeriesCache:
    """Reads the series of a ledger and keeps them."""

    def __init__(self) -> None:
        # By `key`, a digest of the series itself, and not by `id`: after the database was replaced an id may belong to
        # another series, and what a viewer may see depends on it.
        self._by_key: dict[str, Series] = {}

    @property
    def count(self) -> int:
        """Number of series that `read` has found."""
        return len(self._by_key)

    def read(self, connection: sa.Connection) -> Mapping[int, Series]:
        """Every series of the database by its id there."""
        keys = {row.id: row.key for row in connection.execute(sa.select(usage_series.c.id, usage_series.c.key))}
        known = self._by_key
        if new := [number for number, key in keys.items() if key not in known]:
            wanted = new if len(new) < len(keys) else None
            rows = connection.execute(sa.select(usage_series).where(*is_one_of(usage_series.c.id, wanted)))
            known = known | {row.key: make_series(row) for row in rows}
        # A new dictionary each time, since other threads may be reading the old one.
        self._by_key = {key: known[key] for key in keys.values()}
        return {number: known[key] for number, key in keys.items()}


def make_series(row: Any) -> Series:
    """The series of a row of `usage_series`."""
    built_in = {name: getattr(row, column) for column, name in _DIMENSIONS.items()}
    # A field with the name of a dimension is left out: it must not change what the rule `see` decides on.
    fields = {name: _as_text(value) for name, value in row.fields.items() if name not in built_in}
    return built_in | fields


def dimension_names(series: Mapping[int, Series]) -> set[str]:
    """All names that a filter may use."""
    return {name for each in series.values() for name in each}


def matches(series: Series, filters: Mapping[str, str]) -> bool:
    """Whether the series has all these values."""
    return all(series.get(name, "") == value for name, value in filters.items())


def is_one_of(column: sa.ColumnElement[Any], ids: Collection[int] | None) -> list[sa.ColumnElement[bool]]:
    """The condition that `column` is one of `ids`; no condition if `ids` is None."""
    if ids is None:
        return []
    # Written into the statement as literals: there may be more than a database allows parameters.
    return [column.in_([sa.literal_column(str(int(number)), sa.BigInteger) for number in sorted(ids)])]


def _as_text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
