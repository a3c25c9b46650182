"""From records to rows: what the database is given, and what is added up on the way.

Nothing that a record can hold may make a database refuse it, since a row that is refused would hold up all others: no
NUL and no half of a surrogate pair in a text (PostgreSQL takes neither), no integer over 64 bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from asgi_llmgate.usage.ledger.schema import DIMENSIONS, GRAINS, NANO, PLAIN, SUMS, TEXTS
from asgi_llmgate.usage.measurements import OTHER
from asgi_llmgate.usage.record import UsageRecord

Row = dict[str, Any]

INVENTED = ("client_model", "request_model")
"""Dimensions of a series whose values callers can make up."""

NAMES = 500
"""Values of one of these that are told apart, all those in the ledger together."""

_BIGGEST = 2**63 - 1

to_line = json.JSONEncoder(separators=(",", ":")).encode


def encode(record: UsageRecord) -> bytes:
    """One line of the journal, in ASCII."""
    return to_line(msgspec.to_builtins(record)).encode("ascii")


def decode(line: bytes) -> UsageRecord:
    """The record of a line.  Raises ValueError for what is none; names that we do not know are left out."""
    record = msgspec.convert(json.loads(line), UsageRecord)
    time_ms(record.time)
    return record


def row_of(record: UsageRecord) -> Row:
    """The row of `usage_record`, but for its series."""
    row: Row = {name: getattr(record, name) for name in PLAIN}
    for name in TEXTS:
        row[name] = _text(row[name])
    for name, value in row.items():
        if type(value) is int:
            row[name] = _integer(value)
        elif type(value) is tuple:
            row[name] = [_text(item) for item in value] or None
    row["request_id"] = _text(record.request_id)
    row["time_ms"] = time_ms(record.time)
    row["fields"] = {_text(name): _value(value) for name, value in record.fields.items()}
    row["cost_nano"] = None if record.cost_usd is None else _integer(round(record.cost_usd * NANO))
    return row


def time_ms(timestamp: str) -> int:
    """Unix milliseconds of RFC 3339."""
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)


def series_of(row: Row) -> Row:
    """The row of `usage_series` that a record belongs to."""
    return _keyed({name: row[name] for name in DIMENSIONS} | {"fields": row["fields"]})


def within_room(series: Row, names: dict[str, set[str]]) -> Row:
    """The series with OTHER for each name that is not among `names` and finds no room there; one that does is added.

    Callers invent names of models, and whoever reads the ledger reads all series.  A record keeps the name itself.
    """
    bounded = dict(series)
    for dimension, known in names.items():
        if name := series[dimension]:
            bounded[dimension] = _told_apart(name, known)
    return _keyed(bounded)


def _keyed(series: Row) -> Row:
    told = {name: series[name] for name in (*DIMENSIONS, "fields")}
    key = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return told | {"key": hashlib.sha256(key.encode()).hexdigest()[:32]}


def rollups(rows: Iterable[Row]) -> list[Row]:
    """What these rows add to `usage_rollup`, in the order of its key: two writers lock rows in the same order."""
    return _summed(("grain", "start", "series_id"), ((row, ()) for row in rows))


def tool_rollups(rows: Sequence[Row], names: Mapping[int, set[str]]) -> list[Row]:
    """What these rows add to `usage_tools`, in the same way.  `names` are the tools of each day that are told apart; a
    further one is OTHER where NAMES are, and is added where not."""
    calls = (
        (row, (tool,))
        for row in rows
        for tool in dict.fromkeys(_told_apart(each, names[day_of(row)]) for each in tools(row))
    )
    return _summed(("grain", "start", "tool", "series_id"), calls)


def tools(row: Row) -> Iterable[str]:
    return row["tools"] or ()


def day_of(row: Row) -> int:
    """When the day of a row begins, in Unix seconds."""
    return _start(row["time_ms"], GRAINS[-1])


def _told_apart(name: str, known: set[str]) -> str:
    if name not in known and len(known) >= NAMES:
        return OTHER
    known.add(name)
    return name


def _summed(keys: tuple[str, ...], rows: Iterable[tuple[Row, tuple[str, ...]]]) -> list[Row]:
    """Each row is added at its grains, starts and series, and at what comes with it."""
    found: dict[tuple[Any, ...], Row] = {}
    for row, further in rows:
        added = _added(row)
        for grain in GRAINS:
            place = (grain, _start(row["time_ms"], grain), *further, row["series_id"])
            sums = found.setdefault(place, dict.fromkeys(SUMS, 0))
            for name, value in added.items():
                sums[name] += value
    return [dict(zip(keys, place, strict=True)) | found[place] for place in sorted(found)]


def _added(row: Row) -> Row:
    return {
        "requests": 1,
        "priced": int(row["cost_nano"] is not None),
        "unpriced": int(row["cost_nano"] is None and row["input_tokens"] is not None),
        "estimated": int(row["estimated"]),
        "calling": int(bool(row["tools"])),
        **{name: row[name] or 0 for name in SUMS[5:]},
    }


def _start(milliseconds: int, grain: int) -> int:
    seconds = milliseconds // 1000
    return seconds - seconds % grain


def _text(text: str) -> str:
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _integer(value: int) -> int:
    return max(-_BIGGEST, min(value, _BIGGEST))


def _value(value: Any) -> Any:
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
