"""`manage.py llmgate_usage`: requests, tokens and cost by group."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from asgi_llmgate import SettingsError
from llmgate_django.conf import parse_age, read
from llmgate_django.models import UsageRecord
from llmgate_django.report import GROUPS, MEASURES, as_csv, summarise

_GROUPS_HELP = f"one or more of {', '.join(GROUPS)}, and the names in usage.fields"


class Command(BaseCommand):
    help = "Show requests, tokens and cost of the site's usage records by group."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--by", default="model", help=f"{_GROUPS_HELP} (model)")
        parser.add_argument("--since", default="7d", help="range of time until now: 12h, 7d, 4w (7d)")
        parser.add_argument("--format", choices=["table", "csv", "json"], default="table")

    def handle(self, *args: Any, by: str, since: str, format: str, **options: Any) -> None:
        names = [name.strip() for name in by.split(",") if name.strip()]
        try:
            start = timezone.now() - parse_age(since, "--since")
            fields = read().settings.get("usage", {}).get("fields", {})
            rows = summarise(UsageRecord.objects.filter(time__gte=start), names, fields)
        except SettingsError as error:
            raise CommandError(str(error)) from None
        header = [*names, *MEASURES]
        if format == "json":
            self.stdout.write(json.dumps(rows, indent=2))
        elif format == "csv":
            self.stdout.write(as_csv(header, (row.values() for row in rows)), ending="")
        elif not rows:
            self.stdout.write(f"no records in the last {since}")
        else:
            self.stdout.write(
                _table(header, [[_format_cell(value) for value in row.values()] for row in rows], len(names))
            )


def _format_cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if isinstance(value, int) else "-" if value in (None, "") else str(value)


def _table(header: list[str], rows: list[list[str]], texts: int) -> str:
    """A table as text.  The first `texts` columns are left-aligned, the others (numbers) right-aligned."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: list[str]) -> str:
        padded = [
            cell.ljust(width) if place < texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    return "\n".join(map(line, [header, *rows]))
