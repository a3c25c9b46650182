"""`llmgate schema`: the settings as JSON Schema, for editors that complete, check and explain YAML with one."""

from __future__ import annotations

import json

import click

from asgi_llmgate.config.json_schema import json_schema


@click.command()
def schema() -> None:
    """Print the settings as JSON Schema (2020-12)."""
    click.echo(json.dumps(json_schema(), indent=2))
