"""How `llmgate usage` prints: tables of a report, and lines of records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def group_cells(group: Sequence[str]) -> list[str]:
    """The names of a group as cells of a table; "-" for an empty name."""
    return [printable(value) or "-" for value in group]


def format_number(value: float | None) -> str:
    """1,234, or 1.2345 for a cost; "-" for None."""
    return "-" if value is None else f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """A table as text.  The first `texts` columns are left-aligned, the others (numbers) right-aligned."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in (header, *rows):
        cells = [
            cell.ljust(width) if index < texts else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def as_json(row: Mapping[str, Any]) -> str:
    """A row of `usage_record` as JSON, without empty values."""
    return json.dumps({name: value for name, value in row.items() if value not in (None, "", [], False)})


def as_text(row: Mapping[str, Any]) -> str:
    """A row of `usage_record` as a line for people."""
    # Here and not above, since both import SQLAlchemy.
    from asgi_llmgate.usage.ledger.report import format_time
    from asgi_llmgate.usage.ledger.schema import NANO

    tokens = "" if row["input_tokens"] is None else f"{row['input_tokens']} in {row['output_tokens'] or 0} out"
    cost = "" if row["cost_nano"] is None else f"${row['cost_nano'] / NANO:.4f}"
    parts = [
        format_time(row["time_ms"]),
        str(row["status"]),
        row["outcome"] if not row["reason"] else f"{row['outcome']} {row['reason']}",
        row["subject"] or "-",
        *(f"{name}={value}" for name, value in (row["fields"] or {}).items()),
        row["request_model"] or row["client_model"] or row["path"],
        tokens,
        cost,
        f"{row['duration_ms']:.0f}ms",
    ]
    return "  ".join(printable(part) for part in parts if part)


def printable(text: str) -> str:
    """The text with `?` for control characters: a claim may contain escape sequences for the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
