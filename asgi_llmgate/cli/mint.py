"""`llmgate mint`: a token of the mock identity provider.

Standard output has the token and nothing else, so that `$(llmgate mint)` works in a shell.
"""

from __future__ import annotations

import json
import re
from typing import Any

import click
from joserfc.errors import JoseError

from asgi_llmgate.testing.idp import CLAIMS, MockIdP

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _parse_ttl(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """Seconds of `90s`, `15m`, `1h`, `2d`, or a number of seconds."""
    # At most nine digits: a date has an end.
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is not a duration; write 90s, 15m, 1h or 2d")
    return int(found[1]) * _UNITS.get(found[2], 1)


def _parse_claims(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """Claims from `name=value`.  The value is JSON; if it is not valid JSON, it is a text."""
    claims: dict[str, Any] = {}
    for pair in values:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{pair!r} is not of the form name=value")
        try:
            claims[name] = json.loads(text)
        except ValueError:
            claims[name] = text
    return claims


@click.command()
@click.option("--team", default=CLAIMS["team"], show_default=True, help="The claim `team`.")
@click.option("--org", default=CLAIMS["org"], show_default=True, help="The claim `org`.")
@click.option(
    "--claim",
    "claims",
    metavar="K=V",
    multiple=True,
    callback=_parse_claims,
    help="Another claim, as JSON or text; null removes a claim.",
)
@click.option(
    "--ttl", default="1h", callback=_parse_ttl, show_default=True, help="Lifetime of the token: 90s, 15m, 1h, 2d."
)
@click.option(
    "--dir", "folder", default=".llmgate", show_default=True, help="Folder of the key; it is created if missing."
)
def mint(team: str, org: str, claims: dict[str, Any], ttl: int, folder: str) -> None:
    """Print a token of the mock identity provider.

    It is like the token that a developer gets from a real provider after signing in. The signing key is created at the
    first use and kept in the folder; the public key is in jwks.json there, for the settings.
    """
    idp = open_idp(folder)
    click.echo(idp.mint({"team": team, "org": org, **claims}, ttl=ttl))


def open_idp(folder: str) -> MockIdP:
    """The mock identity provider of a folder.  Raises ClickException if the folder cannot be read or written."""
    try:
        return MockIdP.in_folder(folder)
    except (OSError, ValueError, JoseError) as error:
        why = error.strerror if isinstance(error, OSError) else "its key file is damaged"
        raise click.ClickException(f"{folder} cannot be used: {why}") from None
