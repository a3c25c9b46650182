"""`llmgate mint`: a token of the mock identity provider.

Standard output has the token and nothing else, so that `$(llmgate mint)` works in a shell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from asgi_llmgate.testing import minting
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.minting import OPTIONS, parse_claims, parse_ttl, person


def _parsed(parse: Callable[[Any], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        try:
            return parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return callback


def _options(command: Callable[..., None]) -> Callable[..., None]:
    callbacks = {"ttl": _parsed(parse_ttl), "claim": _parsed(parse_claims)}
    for name, option in reversed(list(OPTIONS.items())):
        command = click.option(
            f"--{name}",
            default=None if option.repeated else option.default,
            show_default=not option.repeated,
            metavar=option.metavar,
            multiple=option.repeated,
            callback=callbacks.get(name),
            help=option.help,
        )(command)
    return command


@click.command()
@_options
def mint(user: str, team: str, org: str, claim: dict[str, Any], ttl: int, dir: str) -> None:
    """Print a token of the mock identity provider.

    It is like the token that a developer gets from a real provider after signing in. The signing key is created at the
    first use and kept in the folder; the public key is in jwks.json there, for the settings.
    """
    idp = open_idp(dir)
    click.echo(idp.mint({**person(user, org), "team": team, "org": org, **claim}, ttl=ttl))


def open_idp(folder: str) -> MockIdP:
    """The mock identity provider of a folder.  Raises ClickException if the folder cannot be read or written."""
    try:
        return minting.open_idp(folder)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
