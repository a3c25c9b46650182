"""`llmgate mint`: a token of the mock identity provider, alone on standard output, for `$(llmgate mint)`."""

from __future__ import annotations

import json
import re
from typing import Any

import click
from joserfc.errors import JoseError

from asgi_llmgate.testing.idp import CLAIMS, MockIdP

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> int:
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is not a duration; write 90s, 15m, 1h or 2d")
    return int(found[1]) * _UNITS.get(found[2], 1)


def _claims(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """`name=value` each; the value is JSON, or else the text as it stands."""
    claims: dict[str, Any] = {}
    for pair in values:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{pair!r} is not name=value")
        try:
            claims[name] = json.loads(text)
        except ValueError:
            claims[name] = text
    return claims


@click.command()
@click.option("--team", default=CLAIMS["team"], show_default=True, help="The claim team.")
@click.option("--org", default=CLAIMS["org"], show_default=True, help="The claim org.")
@click.option(
    "--claim", "claims", metavar="K=V", multiple=True, callback=_claims, help="Another claim; null leaves one out."
)
@click.option("--ttl", default="1h", callback=_seconds, show_default=True, help="How long it is good for.")
@click.option("--dir", "folder", default=".llmgate", show_default=True, help="Where the key is; made if missing.")
def mint(team: str, org: str, claims: dict[str, Any], ttl: int, folder: str) -> None:
    """Print a token of the mock identity provider.

    It is what a real provider would give a developer who signs in. Its key is made on first use and kept in the folder,
    with the public half in jwks.json for the settings to name.
    """
    idp = open_idp(folder)
    click.echo(idp.mint({"team": team, "org": org, **claims}, ttl=ttl))


def open_idp(folder: str) -> MockIdP:
    """The mock identity provider of a folder.  Raises ClickException where it cannot be read or written."""
    try:
        return MockIdP.in_folder(folder)
    except (OSError, ValueError, JoseError) as error:
        why = error.strerror if isinstance(error, OSError) else "its key file is damaged"
        raise click.ClickException(f"{folder} cannot be used: {why}") from None
