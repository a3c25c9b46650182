"""`llmgate usage`: reports, the latest records and retention of the ledger."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import click

from asgi_llmgate.cli.command_group import CommandGroup
from asgi_llmgate.cli.usage_flags import flags, webhook
from asgi_llmgate.cli.usage_text import as_json, as_text, format_number, format_table, group_cells
from asgi_llmgate.config.schema import Settings, read_file, read_settings
from asgi_llmgate.config.sections.safeguards import audit_keep
from asgi_llmgate.config.units import parse_time_span
from asgi_llmgate.config.usage_report import ledger_settings, open_database, open_ledger, usage_report

# SQLAlchemy is imported inside the commands: `llmgate usage --help` works without it.

_POLL_INTERVAL = 1.0
"""Seconds between two reads of `tail --follow`."""

_MAX_NEW = 1000
"""Records of one such read."""

F = TypeVar("F", bound=Callable[..., Any])


def _config(command: F) -> F:
    return click.option(
        "--config",
        default="llmgate.yaml",
        show_default=True,
        type=click.Path(),
        help="The settings file with `usage.ledger`.",
    )(command)


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
def usage() -> None:
    """Show usage from the ledger, and delete old records."""


@usage.command()
@_config
@click.option(
    "--by",
    default="model",
    show_default=True,
    help="Groups, separated by commas: user, model, team (a usage field), day, ...",
)
@click.option("--since", default="7d", show_default=True, help="Range of time until now: 12h, 7d, 4w.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def report(config: str, by: str, since: str, form: str) -> None:
    """Requests, tokens and cost by group.

    Groups: user, model (that was sent), asked (the model that the client asked for), provider, backend, outcome,
    reason, rule, issuer, client, tool, day, hour, and each name in usage.fields.  By tool, a call of two tools counts
    for both.
    """
    names = [name.strip() for name in by.split(",") if name.strip()]
    now = time.time()
    start = now - parse_time_span(since, "--since")
    header, rows = usage_report(_settings(config), names, since=start, until=now, folder=Path(config).parent)
    if form == "json":
        click.echo(json.dumps([dict(zip(header, row, strict=True)) for row in rows], indent=2))
    elif form == "csv":
        from asgi_llmgate.usage.ledger.report import safe_cell

        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")  # the writer quotes a lone CR only then
        writer.writerow(header)
        writer.writerows([*map(safe_cell, row[: len(names)]), *row[len(names) :]] for row in rows)
        click.echo(out.getvalue(), nl=False)
    elif rows:
        count = len(names)
        cells = [[*group_cells(row[:count]), *map(format_number, row[count:])] for row in rows]
        click.echo(format_table(header, cells, count))
    else:
        click.echo(f"no records in the last {since}")


@usage.command()
@_config
@click.option(
    "-n",
    "--lines",
    "count",
    default=20,
    show_default=True,
    type=click.IntRange(1, _MAX_NEW),
    help="Number of records to begin with.",
)
@click.option("-f", "--follow", is_flag=True, help="Go on with new records until Ctrl-C.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def tail(config: str, count: int, follow: bool, form: str) -> None:
    """Show the latest records."""
    from asgi_llmgate.usage.ledger.report import latest

    show = as_json if form == "json" else as_text
    last = 0
    with open_database(_settings(config), Path(config).parent) as database, suppress(KeyboardInterrupt):
        while True:
            with database.reading() as connection:
                for row in latest(connection, count, after=last):
                    click.echo(show(row))
                    last = row["id"]
            if not follow:
                return
            count = _MAX_NEW
            time.sleep(_POLL_INTERVAL)


@usage.command()
@_config
@click.option("--keep", help="Age, in place of usage.ledger.keep: 90d, 4w.")
def prune(config: str, keep: str | None) -> None:
    """Delete records older than usage.ledger.keep, and verdicts older than safeguards.audit.keep.  A running gateway
    does this once an hour."""
    settings = _settings(config)
    keep = keep or ledger_settings(settings).keep
    if keep is None:
        raise click.ClickException("usage.ledger.keep is null, so records are kept for ever: give an age with --keep")
    seconds = parse_time_span(keep, "--keep")
    with open_database(settings, Path(config).parent) as database:
        # Verdicts first: `prune` also deletes who called, where neither a record nor a verdict is left.
        if (keep_verdicts := audit_keep(settings.safeguards)) is not None:
            database.prune_verdicts(int(time.time() - keep_verdicts))
        deleted = database.prune(int(time.time() - seconds))
    click.echo(f"{deleted} {'record' if deleted == 1 else 'records'} older than {keep} deleted")


@usage.command()
@_config
def drain(config: str) -> None:
    """Insert the records in the journal of processes that have ended.  A running gateway does this by itself."""
    if not open_ledger(_settings(config), Path(config).parent).drain():
        raise click.ClickException("the ledger's database does not work; the records stay in the journal")


usage.add_command(flags)
usage.add_command(webhook)


def _settings(config: str) -> Settings:
    return read_settings(read_file(config))
