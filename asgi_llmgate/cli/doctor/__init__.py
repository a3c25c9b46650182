"""`llmgate doctor`, which is `llmgate check --online`: asks everything that the settings name.

steps           one question and its answer
examination     all of them, in their order
identity        identity providers
model_servers   model servers: their lists of models, calls, context windows
storage         the ledger and the log file
developers      a call through the whole gateway
connection      DNS, TCP and TLS, for all of them
asking          how an app is asked for a Message
report          what is printed; secrets: what must not be
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from asgi_llmgate.cli.check import read_token
from asgi_llmgate.cli.doctor.examination import Examination
from asgi_llmgate.cli.doctor.report import Mask, Report
from asgi_llmgate.cli.doctor.secrets import secrets_of
from asgi_llmgate.config.checking.check import check_file
from asgi_llmgate.config.schema import Settings, read_file, read_settings
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.gateway import Gateway


@click.command()
@click.option("--config", default="llmgate.yaml", show_default=True, type=click.Path(), help="The settings.")
@click.option("--token", metavar="-", help="Call the whole gateway with the token on standard input.")
@click.option("--no-calls", is_flag=True, help="Call no model. A call costs a fraction of a cent.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0.1, max=3600),
    help="Time for one call.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the end.")
@click.argument("names", nargs=-1, metavar="[MODEL]...")
def doctor(
    config: str, token: str | None, no_calls: bool, timeout: float, as_json: bool, names: tuple[str, ...]
) -> None:
    """Ask everything that the settings name, and say what a developer would see.

    Asked are identity providers, model servers and their models, the ledger and the logs; then the whole gateway, as
    Claude Code asks it. MODEL: names for that call.
    """
    examine(config, token, as_json=as_json, names=names, with_calls=not no_calls, seconds=timeout)


def examine(
    config: str,
    token: str | None,
    *,
    as_json: bool = False,
    names: tuple[str, ...] = (),
    with_calls: bool = True,
    seconds: float = 60.0,
) -> None:
    """Check the settings, ask, and print. Raises Exit(1) if there are errors."""
    caller = None if token is None else read_token(token)
    folder = Path(config).parent
    checked = check_file(config, lambda settings, folder: Gateway.from_settings(settings, folder=folder), strict=True)
    mask = Mask([caller.reveal()] if caller is not None else [])
    report = Report(config, mask, checked.locate, as_json)
    settings: Settings | None = None
    with suppress(SettingsError):  # else there is nothing to ask
        settings = read_settings(read_file(config))
    if settings is not None:
        for secret in secrets_of(settings, folder):
            mask.add(secret)
    for finding in checked.findings:
        report.add_finding(finding)
    if settings is not None:
        examination = Examination(settings, folder, report.add, mask.add, seconds, with_calls, caller, names)
        with _quiet_logs():
            asyncio.run(examination.run())
    report.end()
    if any(finding.severity == "error" for finding in report.findings):
        raise click.exceptions.Exit(1)


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """What the gateway would log is in the steps."""
    log = logging.getLogger("llmgate")
    handler, before = logging.NullHandler(), log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = before
        log.removeHandler(handler)
