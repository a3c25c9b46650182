"""`llmgate check`: all that is wrong in the settings, with its place, or a summary of them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from asgi_llmgate.auth.explanation import explain
from asgi_llmgate.config.checking.check import Checked, check_file
from asgi_llmgate.config.checking.description import describe
from asgi_llmgate.config.checking.findings import Finding, count
from asgi_llmgate.config.schema import Settings
from asgi_llmgate.config.sections.auth import make_providers
from asgi_llmgate.config.sections.backends import make_client
from asgi_llmgate.gateway import Gateway
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.secret_values import Secret

_COLORS = {"error": "red", "warning": "yellow"}


@click.command()
@click.option("--config", default="llmgate.yaml", show_default=True, type=click.Path(), help="The settings.")
@click.option("--strict", is_flag=True, help="A secret or a variable that is not there is an error, not a warning.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--color/--no-color", default=None, help="Colours; by default on a terminal, unless NO_COLOR is set.")
@click.option("--token", metavar="-", help="Explain the token on standard input: which checks it passes.")
@click.option("--online", is_flag=True, help="Ask the servers that the settings name as well: `llmgate doctor`.")
@click.argument("names", nargs=-1, metavar="[MODEL]...")
def check(
    config: str,
    strict: bool,
    as_json: bool,
    color: bool | None,
    token: str | None,
    online: bool,
    names: tuple[str, ...],
) -> None:
    """Tell all mistakes in the settings with their places, or the target of each model name.

    MODEL: names to look up in the model table.

    Exit code: 0 where there is no error, 1 where there is one, 2 for a wrong option.
    """
    for name in names:
        if name.endswith((".yaml", ".yml")):
            raise click.UsageError(f"MODEL is a name of a model; a file of settings is --config {name}")
    if online:
        from asgi_llmgate.cli.doctor import examine

        examine(config, token, as_json=as_json, names=names)
        return
    checked = check_file(config, lambda settings, folder: Gateway.from_settings(settings, folder=folder), strict=strict)
    settings = checked.settings
    if token is not None:
        _explain_token(token, config, checked)
    elif as_json:
        click.echo(json.dumps(_as_json(config, checked, names), indent=2))
    else:
        print_findings(checked.findings, color=color)
        if settings is not None:
            click.echo(f"{config}: good")
            for line in describe(settings, names):
                click.echo(f"  {line}")
        if checked.findings:
            click.echo(count(checked.findings), err=True)
    if settings is None:
        raise click.exceptions.Exit(1)


def print_findings(findings: Sequence[Finding], *, color: bool | None = None) -> None:
    """Print the findings to standard error, a line for each.

    `color`: True, False, or None for colours on a terminal, unless the environment variable NO_COLOR is set
    (https://no-color.org).
    """
    if color is None and os.environ.get("NO_COLOR"):
        color = False
    for finding in findings:
        place = click.style(finding.place, bold=True) if finding.place else ""
        severity = click.style(f"{finding.severity}:", fg=_COLORS[finding.severity], bold=True)
        click.echo(f"{place}{severity} {finding.text}", err=True, color=color)


def _as_json(config: str, checked: Checked, names: Sequence[str]) -> dict[str, Any]:
    findings = checked.findings
    return {
        "file": config,
        "errors": sum(finding.severity == "error" for finding in findings),
        "warnings": sum(finding.severity == "warning" for finding in findings),
        "findings": [finding.as_json() for finding in findings],
        "description": list(describe(checked.settings, names)) if checked.settings is not None else [],
    }


def read_token(option: str) -> Secret:
    """The token on standard input; `option` must be `-`."""
    if option != "-":
        raise click.UsageError("other users can see a command line; give the token on standard input: --token -")
    text = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
    text = text[7:].lstrip() if text[:7].lower() == "bearer " else text
    if not text or not text.isascii() or any(map(str.isspace, text)):
        raise click.ClickException("standard input must hold exactly one token")
    return Secret(text)


def _explain_token(option: str, config: str, checked: Checked) -> None:
    settings = checked.settings
    if settings is None and option == "-":
        print_findings([finding for finding in checked.findings if finding.severity == "error"])
        return
    token = read_token(option)
    if settings is not None:
        _explain(token, settings, Path(config).parent)


def _explain(token: Secret, settings: Settings, folder: Path) -> None:
    """Print one line per check, without the token; exit with 1 if the token is refused."""
    lines = asyncio.run(_explanation(token, settings, folder))
    for line in lines:
        click.echo(line)
    if any(line.startswith("FAILED") for line in lines):
        raise click.exceptions.Exit(1)


async def _explanation(token: Secret, settings: Settings, folder: Path) -> list[str]:
    client = make_client(settings.net, folder)
    try:
        return await explain(
            token.reveal(),
            make_providers(settings.auth, folder, Mistakes()),
            fetch=client.fetch,
            max_token_size=settings.auth.max_token_size,
        )
    finally:
        await client.aclose()
