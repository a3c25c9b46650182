"""`manage.py llmgate_usage`: requests, tokens and cost by group, from the ledger that the setting LLMGATE names."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from asgi_llmgate import SettingsError, usage_report
from llmgate_django.conf import NAME, Site, parse_age, read
from llmgate_django.models import UsageRecord
from llmgate_django.report import GROUPS, MEASURES, as_csv, summarise

_GROUPS_HELP = f"one or more of {', '.join(GROUPS)}, and the names in usage.fields"


class Command(BaseCommand):
    help = "Show requests, tokens and cost of the usage records by group."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--by", default="model", help=f"{_GROUPS_HELP} (model)")
        parser.add_argument("--since", default="7d", help="range of time until now: 12h, 7d, 4w (7d)")
        parser.add_argument("--format", choices=["table", "csv", "json"], default="table")

    def handle(self, *args: Any, by: str, since: str, format: str, **options: Any) -> None:
        names = [name.strip() for name in by.split(",") if name.strip()]
        try:
            start = timezone.now() - parse_age(since, "--since")
            site = read()
            header, rows = _report(site, names, start)
        except SettingsError as error:
            raise CommandError(str(error)) from None
        if format == "json":
            self.stdout.write(json.dumps([dict(zip(header, row, strict=True)) for row in rows], indent=2))
        elif format == "csv":
            self.stdout.write(as_csv(header, rows), ending="")
        elif rows:
            self.stdout.write(_table(header, [list(map(_format_cell, row)) for row in rows], len(names)))
        else:
            self.stdout.write(f"no records in the last {since}")
            if not (site.ledger or site.other_ledger):
                self.stderr.write(f'{NAME} has no usage.ledger, so none are written: add "ledger": {{"url": "django"}}')


def _report(site: Site, names: list[str], start: datetime) -> tuple[list[str], list[list[Any]]]:
    """The names of the columns, and rows: from the ledger that the setting names, or else from the site's table."""
    if site.other_ledger:
        until = timezone.now().timestamp()
        return usage_report(site.settings, names, since=start.timestamp(), until=until, folder=site.folder)
    fields = site.settings.get("usage", {}).get("fields", {})
    rows = summarise(UsageRecord.objects.filter(time__gte=start), names, fields)
    return [*names, *MEASURES], [list(row.values()) for row in rows]


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
