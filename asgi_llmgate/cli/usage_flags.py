"""`llmgate usage flags` and `webhook`: the tool calls that safeguards flagged, and who is told of them."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import click

from asgi_llmgate.cli.usage_text import format_table, printable
from asgi_llmgate.config.schema import read_file, read_settings
from asgi_llmgate.config.sections.backends import make_client
from asgi_llmgate.config.sections.secret import read_secrets
from asgi_llmgate.config.units import parse_time_span
from asgi_llmgate.config.usage_report import open_database, open_ledger

_INTERNAL = ("id", "time_ms")

_EXPLANATION = 60
"""Characters of an explanation in the table."""


@click.command()
@click.option("--config", default="llmgate.yaml", show_default=True, type=click.Path(), help="The settings file.")
@click.option("--since", default="7d", show_default=True, help="Range of time until now: 12h, 7d, 4w.")
@click.option("--all", "every", is_flag=True, help="All verdicts, also about calls that were not flagged.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def flags(config: str, since: str, every: bool, form: str) -> None:
    """List the tool calls that `safeguards` flagged: who, what, which rule, when.

    As json, each line is one verdict.
    """
    settings = read_settings(read_file(config))
    now = time.time()
    start = now - parse_time_span(since, "--since")
    with open_database(settings, Path(config).parent) as database, database.reading() as connection:
        from asgi_llmgate.usage.ledger.verdict_report import csv_parts, list_verdicts

        found = list_verdicts(connection, since=start, until=now, flags_only=not every)
        if form == "json":
            for each in found:
                click.echo(
                    json.dumps(
                        {name: value for name, value in each.items() if value not in ("", {}) and name not in _INTERNAL}
                    )
                )
        elif form == "csv":
            for part in csv_parts(found, sorted(settings.usage.fields)):
                click.echo(part, nl=False)
        else:
            header = ["time", "user", "tool", "outcome", "decided by", "explanation"]
            rows = [
                [each["time"], each["user"], each["tool"], each["outcome"], _decided_by(each), each["explanation"]]
                for each in found
            ]
            cells = [[printable(cell)[:_EXPLANATION] or "-" for cell in row] for row in rows]
            nothing = f"no {'verdicts' if every else 'flagged calls'} in the last {since}"
            click.echo(format_table(header, cells, len(header)) if cells else nothing)


@click.command()
@click.option("--config", default="llmgate.yaml", show_default=True, type=click.Path(), help="The settings file.")
@click.option("--test", is_flag=True, help="Send a signed event of the type webhook.test.")
def webhook(config: str, test: bool) -> None:
    """Print the key that verifies the signatures of `safeguards.notify`, or test the webhook."""
    settings = read_settings(read_file(config))
    if settings.safeguards is None or settings.safeguards.notify is None:
        raise click.ClickException("the settings have no webhook (safeguards.notify)")
    from asgi_llmgate.config.sections.safeguards import make_notifier
    from asgi_llmgate.safeguards.webhook import Signer

    folder = Path(config).parent
    client, secrets = make_client(settings.net, folder), read_secrets(settings.secret)
    ledger = None if settings.usage.ledger is None else open_ledger(settings, folder)
    # Raises for the same mistakes as the start of a gateway.
    notifier = make_notifier(settings.safeguards, ledger, secrets, client)
    if not test:
        click.echo(Signer(secrets).signing_secret())
    elif why := asyncio.run(notifier.send_trial()):
        raise click.ClickException(f"the webhook does not work: {why}")
    else:
        click.echo("the receiver has accepted a test event")


def _decided_by(each: dict[str, str]) -> str:
    return each["rule"] or each["model"] or each["decided_by"]
