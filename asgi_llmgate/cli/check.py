"""`llmgate check`: reports the first error in the settings, or a summary of them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from asgi_llmgate.auth import explain
from asgi_llmgate.config.advice import advise
from asgi_llmgate.config.description import describe
from asgi_llmgate.config.schema import Settings, read_file, read_settings
from asgi_llmgate.config.sections.auth import make_providers
from asgi_llmgate.config.sections.backends import make_client
from asgi_llmgate.gateway import Gateway


@click.command()
@click.option("--config", default="llmgate.yaml", show_default=True, type=click.Path(), help="The settings.")
@click.option("--token", metavar="-", help="Explain the token on standard input: which checks it passes.")
@click.option("--online", is_flag=True, help="Ask the servers that the settings name as well: `llmgate doctor`.")
@click.argument("names", nargs=-1, metavar="[MODEL]...")
def check(config: str, token: str | None, online: bool, names: tuple[str, ...]) -> None:
    """Report the first error in the settings and its place, or the target of each model name.

    MODEL: names to look up in the model table.
    """
    if online:
        from asgi_llmgate.cli.doctor import examine

        examine(config, token, names=names)
        return
    settings = read_settings(read_file(config))
    folder = Path(config).parent
    Gateway.from_settings(settings, folder=folder)
    if token is not None:
        if token != "-":  # noqa: S105
            raise click.UsageError("other users can see a command line; give the token on standard input: --token -")
        _explain(sys.stdin.buffer.read().decode("utf-8", "replace"), settings, folder)
        return
    click.echo(f"{config}: good")
    for line in describe(settings, names):
        click.echo(f"  {line}")
    for line in advise(settings):
        click.echo(f"  warning: {line}")


def _explain(token: str, settings: Settings, folder: Path) -> None:
    """Print one line per check, without the token; exit with 1 if the token is refused."""
    text = token.strip()
    text = text[7:].lstrip() if text[:7].lower() == "bearer " else text
    if not text or not text.isascii() or any(map(str.isspace, text)):
        raise click.ClickException("standard input must hold exactly one token")
    lines = asyncio.run(_explanation(text, settings, folder))
    for line in lines:
        click.echo(line)
    if any(line.startswith("FAILED") for line in lines):
        raise click.exceptions.Exit(1)


async def _explanation(token: str, settings: Settings, folder: Path) -> list[str]:
    client = make_client(settings.net, folder)
    try:
        return await explain(
            token,
            make_providers(settings.auth, folder),
            fetch=client.fetch,
            max_token_size=settings.auth.max_token_size,
        )
    finally:
        await client.aclose()
