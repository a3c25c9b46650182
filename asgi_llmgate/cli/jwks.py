"""`llmgate jwks`: the mock identity provider's public keys, as settings take them."""

from __future__ import annotations

import json

import click

from asgi_llmgate.cli.mint import open_idp


@click.command()
@click.option("--dir", "folder", default=".llmgate", show_default=True, help="Where the key is; made if missing.")
def jwks(folder: str) -> None:
    """Print the mock identity provider's public keys (RFC 7517)."""
    click.echo(json.dumps(open_idp(folder).jwks, indent=2))
