"""`llmgate check`: what is wrong with the settings, or what they mean."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from asgi_llmgate.assembly import http_client, token_providers
from asgi_llmgate.auth import explain
from asgi_llmgate.errors import NotFound
from asgi_llmgate.gateway import Gateway
from asgi_llmgate.models import ModelRow, ModelTable
from asgi_llmgate.settings import Model, Settings, read_file, read_settings


@click.command()
@click.option("--config", default="llmgate.yaml", show_default=True, type=click.Path(), help="The settings.")
@click.option("--token", metavar="-", help="Explain the token on standard input: which check it passes, which not.")
@click.argument("names", nargs=-1, metavar="[MODEL]...")
def check(config: str, token: str | None, names: tuple[str, ...]) -> None:
    """Say what is wrong with the settings, with the exact place, or where every model name would be routed to.

    MODEL are names to look up.
    """
    settings = read_settings(read_file(config))
    folder = Path(config).parent
    Gateway.from_settings(settings, folder=folder)
    if token is not None:
        if token != "-":  # noqa: S105
            raise click.UsageError("a token in a command line is seen by others; give it on standard input: --token -")
        _explain(sys.stdin.read(), settings, folder)
        return
    click.echo(f"{config}: good")
    for line in describe(settings, names):
        click.echo(f"  {line}")


def describe(settings: Settings | Mapping[str, Any], names: Iterable[str] = ()) -> Iterator[str]:
    """What the settings mean, line by line: who may call, and which model server each model name leads to.

    `names` are looked up as well.  Raises SettingsError.
    """
    if not isinstance(settings, Settings):
        settings = read_settings(settings)
    yield f"callers: {_callers(settings)}"
    yield "models, the first row that fits wins:"
    for row in settings.models:
        yield f"  {row.match} -> {_answers(settings, row)}"
    for name in names:
        fitting = _fitting(settings, name)
        yield f"{name}: " + ("; else ".join(fitting) if fitting else "no row fits: 404")


def _explain(token: str, settings: Settings, folder: Path) -> None:
    """Print one line per check, but not the token; exit with 1 if it is refused."""
    text = token.strip()
    text = text[7:].lstrip() if text[:7].lower() == "bearer " else text
    if not text or not text.isascii() or any(map(str.isspace, text)):
        raise click.ClickException("there is not one token on standard input")
    lines = asyncio.run(_explained(text, settings, folder))
    for line in lines:
        click.echo(line)
    if any(line.startswith("FAILED") for line in lines):
        raise click.exceptions.Exit(1)


async def _explained(token: str, settings: Settings, folder: Path) -> list[str]:
    client = http_client(settings.net, folder)
    try:
        return await explain(
            token,
            token_providers(settings, folder),
            fetch=client.fetch,
            max_token_size=settings.auth.max_token_size,
        )
    finally:
        await client.aclose()


def _callers(settings: Settings) -> str:
    if settings.auth.mode == "off":
        return "anybody (auth.mode: off)"
    issuers = [name for each in settings.auth.providers for name in (each.issuer, *each.issuers) if name]
    return f"{settings.auth.mode}, tokens of {', '.join(issuers) or 'nobody'}; rules: {len(settings.policy.rules)}"


def _uses(row: Model) -> tuple[str, ...]:
    return (row.use,) if isinstance(row.use, str) else row.use


def _answers(settings: Settings, row: Model, asked: str = "the asked name") -> str:
    where = []
    for use in _uses(row):
        backend, _, model = use.partition("/")
        where.append(f"{model or asked} at {backend} ({settings.backends[backend].base_url})")
    limit = f", at most {row.max_output_tokens} tokens out" if row.max_output_tokens else ""
    return ", then ".join(where) + limit + (f", when {row.when}" if row.when else "")


def _fitting(settings: Settings, name: str) -> list[str]:
    """What may answer a name: the rows with a condition that come before the first without one, and that one."""
    found = []
    for row in settings.models:
        try:
            ModelTable([ModelRow(row.match, _uses(row))], dict.fromkeys(settings.backends, "")).resolve(name)
        except NotFound:
            continue
        found.append(_answers(settings, row, name))
        if row.when is None:
            break
    return found
