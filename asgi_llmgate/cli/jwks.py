"""`llmgate jwks`: the mock identity provider's public keys, for the setting `auth.providers[].jwks`."""

from __future__ import annotations

import json

import click

from asgi_llmgate.cli.mint import open_idp


@click.command()
@click.option(
    "--dir", "folder", default=".llmgate", show_default=True, help="Folder of the key; it is created if missing."
)
def jwks(folder: str) -> None:
    """Print the mock identity provider's public keys (RFC 7517)."""
    click.echo(json.dumps(open_idp(folder).jwks, indent=2))
