"""From usage records to rows of the ledger's tables, and what the rows add to the rollups.

A row must never be refused by the database because of a value, since it would block all rows behind it.  So texts
contain no NUL and no lone surrogate (PostgreSQL accepts neither), and integers have at most 64 bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from operator import add, attrgetter, itemgetter
from typing import Any

import msgspec

from asgi_llmgate.usage.ledger.schema import (
    ATTRIBUTES,
    DIMENSIONS,
    GRAINS,
    INTEGERS,
    LISTS,
    NANO,
    SUMS,
    TEXTS,
    VERDICT_TEXTS,
)
from asgi_llmgate.usage.measurements import OTHER
from asgi_llmgate.usage.record import UsageRecord, to_json

Row = dict[str, Any]

UNBOUNDED = ("client_model", "request_model")
"""Dimensions of a series whose values callers choose freely."""

MAX_NAMES = 500
"""Different values of one of these in the whole ledger.  Further ones are counted under OTHER."""

# BIGINT in PostgreSQL, INTEGER in SQLite.
_MAX_INTEGER = 2**63 - 1

_TEXTS = ("request_id", *TEXTS)
_texts = itemgetter(*_TEXTS)
_attributes = attrgetter(*ATTRIBUTES.values())

encode = to_json
"""The line of a record in the journal, without a line break."""


def decode(line: bytes) -> UsageRecord:
    """The record of a journal line.  Unknown names are ignored.  Raises ValueError if the line is not a record."""
    try:
        record = _decode(line)
    except msgspec.DecodeError:
        # The standard library also reads lone surrogates, and numbers of more than 64 bits.
        record = msgspec.convert(json.loads(line), UsageRecord)
    time_ms(record.time)  # raises ValueError: a record without a time has no place in the tables
    return record


_decode = msgspec.json.Decoder(UsageRecord).decode


def record_row(record: UsageRecord) -> Row:
    """The row of `usage_record`, without `series_id`."""
    row: Row = dict(zip(ATTRIBUTES, _attributes(record), strict=True))
    row["subject"], row["request_id"] = record.caller, record.request_id
    # Nearly always no text has to be changed: all are looked at together.
    if not "".join(_texts(row)).isprintable():
        row |= {name: _text(row[name]) for name in _TEXTS}
    for name in LISTS:
        row[name] = list(map(_text, row[name])) or None
    for name in INTEGERS:
        if row[name]:
            row[name] = _integer(row[name])
    row["time_ms"] = time_ms(record.time)
    row["fields"] = {_text(name): _field(value) for name, value in record.fields.items()}
    row["cost_nano"] = None if record.cost_usd is None else _integer(round(record.cost_usd * NANO))
    return row


def verdict_rows(record: UsageRecord, series_id: int, *, notify: bool) -> list[Row]:
    """The rows of `usage_verdict` of a record.  With `notify`, the webhook is to be sent for each flag."""
    if not record.safeguards:
        return []
    time, request_id, conversation_id = time_ms(record.time), _text(record.request_id), _text(record.conversation_id)
    return [
        {
            "request_id": request_id,
            "position": position,
            "time_ms": time,
            "series_id": series_id,
            "conversation_id": conversation_id,
            **{name: _text(getattr(verdict, name)) for name in VERDICT_TEXTS},
            "duration_ms": verdict.duration_ms,
            "dry_run": [_text(name) for name in verdict.dry_run] or None,
            "notify_at_ms": time if notify and verdict.outcome == "flag" else None,
        }
        for position, verdict in enumerate(record.safeguards)
    ]


def encode_values(row: Row, names: Iterable[str]) -> Row:
    """The row with the values of these names as JSON texts; None stays None."""
    return row | {name: None if row[name] is None else to_json(row[name]).decode() for name in names}


def time_ms(timestamp: str) -> int:
    """Unix milliseconds of a timestamp in RFC 3339."""
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)


def series_values(row: Row) -> tuple[Any, ...]:
    """What tells the series of this row from others, to be compared within a process."""
    return (*[row[name] for name in DIMENSIONS], repr(row["fields"]))


def series_row(row: Row) -> Row:
    """The row of `usage_series` that a row of `usage_record` belongs to."""
    return _with_key({name: row[name] for name in DIMENSIONS} | {"fields": row["fields"]})


def bound_names(series: Row, names: dict[str, set[str]]) -> Row:
    """The series with OTHER in place of each name beyond MAX_NAMES; a new name below that is added to `names`.

    Callers can send any model name, and the usage page reads all series.  The record itself keeps the name.
    """
    bounded = dict(series)
    for dimension, known in names.items():
        if name := series[dimension]:
            bounded[dimension] = _bound(name, known)
    return _with_key(bounded)


def _with_key(series: Row) -> Row:
    """The series with `key`, a digest of its values: a unique index over ten columns and JSON would be large."""
    values = {name: series[name] for name in (*DIMENSIONS, "fields")}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return values | {"key": hashlib.sha256(text.encode()).hexdigest()[:32]}


def rollups(rows: Iterable[Row]) -> list[Row]:
    """What these rows add to `usage_rollup`, in the order of its primary key."""
    return _add_up(("grain", "start", "series_id"), ((row, ()) for row in rows))


def tool_rollups(rows: Iterable[Row], names: Mapping[int, set[str]]) -> list[Row]:
    """What these rows add to `usage_tools`, in the order of its primary key.

    `names`: start of each day -> its known tools.  A further tool is added to them, or counted under OTHER if there are
    MAX_NAMES already.
    """
    calls = (
        (row, (tool,))
        for row in rows
        for tool in dict.fromkeys(_bound(each, names[day_start(row)]) for each in tools(row))
    )
    return _add_up(("grain", "start", "tool", "series_id"), calls)


def tools(row: Row) -> Iterable[str]:
    """The tools that the response of this row calls."""
    return row["tools"] or ()


def day_start(row: Row) -> int:
    """The start of the row's day (UTC), in Unix seconds."""
    return _bucket_start(row["time_ms"] // 1000, GRAINS[-1])


def _bound(name: str, known: set[str]) -> str:
    if name not in known and len(known) >= MAX_NAMES:
        return OTHER
    known.add(name)
    return name


def _add_up(keys: tuple[str, ...], rows: Iterable[tuple[Row, tuple[str, ...]]]) -> list[Row]:
    """Sums per primary key (`keys`) of a rollup table.  Each row comes with the key's part between start and series.

    The result is sorted, so that two writers lock rows in the same order.
    """
    # The rows of a batch are from a few minutes, so hours and days are added up from these.
    by_minute: dict[tuple[Any, ...], list[int]] = {}
    for row, key_part in rows:
        _add(by_minute, (_bucket_start(row["time_ms"] // 1000, GRAINS[0]), *key_part, row["series_id"]), _counts(row))
    found: dict[tuple[Any, ...], list[int]] = {}
    for (minute, *rest), counts in by_minute.items():
        for grain in GRAINS:
            _add(found, (grain, _bucket_start(minute, grain), *rest), counts)
    return [dict(zip((*keys, *SUMS), (*key, *found[key]), strict=True)) for key in sorted(found)]


def _add(sums: dict[tuple[Any, ...], list[int]], key: tuple[Any, ...], counts: list[int]) -> None:
    known = sums.get(key)
    sums[key] = counts if known is None else list(map(add, known, counts))


def _counts(row: Row) -> list[int]:
    """What a row adds to each of SUMS: the first five are counts of rows, the others columns of the row."""
    priced, counted = row["cost_nano"] is not None, row["input_tokens"] is not None
    rows = [1, int(priced), int(counted and not priced), int(row["estimated"]), int(bool(row["tools"]))]
    return rows + [row[name] or 0 for name in SUMS[5:]]


def _bucket_start(seconds: int, grain: int) -> int:
    return seconds - seconds % grain


def _text(text: str) -> str:
    if text.isprintable():  # most are, and then there is neither
        return text
    # encode() replaces lone surrogates by "?".
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _integer(value: int) -> int:
    return max(-_MAX_INTEGER, min(value, _MAX_INTEGER))


def _field(value: Any) -> Any:
    match value:
        case str():
            return _text(value)
        case list() | tuple():
            return [_text(item) for item in value]
        case bool():
            return value
        case int():
            return _integer(value)
    return value
