"""`llmgate schema`: the settings as JSON Schema, for editors that complete and check YAML with one."""

from __future__ import annotations

import json

import click
import msgspec

from asgi_llmgate.config.schema import Settings


@click.command()
def schema() -> None:
    """Print the settings as JSON Schema (2020-12)."""
    click.echo(json.dumps(msgspec.json.schema(Settings), indent=2))
