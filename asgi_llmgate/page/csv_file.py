"""The CSV files of calls, and of flagged tool calls, that the usage page offers for download (RFC 4180)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from asgi_llmgate.usage.ledger import verdict_report
from asgi_llmgate.usage.ledger.report import format_time, safe_cell
from asgi_llmgate.usage.ledger.schema import NANO

_COLUMNS = (
    "request_id", "status", "outcome", "reason", "subject", "request_model", "client_model", "provider", "backend",
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens", "duration_ms", "ttft_ms", "stream",
    "estimated", "policy_rule", "tools",
)  # fmt: skip
"""Columns of `usage_record` in the file, between `time` and `cost_usd`; the operator's fields follow."""


def csv_parts(chunks: Iterable[list[Mapping[str, Any]]]) -> Iterator[bytes]:
    """The file in parts, one per chunk of rows of `usage_record`; the first part begins with the header."""
    fields: list[str] = []
    header = True
    for rows in chunks:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        if header:
            # The fields of the newest calls: all rows would have to be read to know every field.
            fields = sorted({name for row in rows for name in row["fields"] or {}})
            writer.writerow(["time", *_COLUMNS, "cost_usd", *fields])
            header = False
        for row in rows:
            writer.writerow([safe_cell(cell) for cell in _cells(row, fields)])
        yield out.getvalue().encode("utf-8")
    if header:
        # No calls: a file with the header alone.
        yield (",".join(["time", *_COLUMNS, "cost_usd"]) + "\r\n").encode()


def flags_csv_parts(chunks: Iterable[list[Mapping[str, Any]]]) -> Iterator[bytes]:
    """The file of flagged tool calls, as `verdict_report.verdict` makes them, in parts."""
    rows = chain.from_iterable(chunks)
    first = list(islice(rows, 1000))
    # As above: the fields of the newest ones.
    fields = sorted({name for row in first for name in row["fields"]})
    return (part.encode() for part in verdict_report.csv_parts(chain(first, rows), fields))


def _cells(row: Mapping[str, Any], fields: list[str]) -> Iterator[Any]:
    own = row["fields"] or {}
    values = {**row, "tools": ", ".join(row["tools"] or ())}
    yield format_time(row["time_ms"], "%Y-%m-%dT%H:%M:%SZ")
    yield from (values[name] for name in _COLUMNS)
    yield None if row["cost_nano"] is None else row["cost_nano"] / NANO
    yield from (own.get(name) for name in fields)
