"""`manage.py llmgate_mint`: a token of the mock identity provider.  Standard output has the token and nothing else.

The options are those of `llmgate mint`; only `--user` is somebody of this site.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from asgi_llmgate.testing.minting import OPTIONS, Option, open_idp, parse_claims, parse_ttl, person


class Command(BaseCommand):
    help = (
        "Print a token of the mock identity provider, for trials. Its key is created at the first use and kept in the "
        "folder; the public key is in jwks.json there, for the setting LLMGATE."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        for name, option in _options().items():
            more: dict[str, Any] = {"default": option.default}
            if option.repeated:
                more = {"default": [], "action": "append"}
            shown = " (%(default)s)" if option.default else ""
            parser.add_argument(f"--{name}", metavar=option.metavar, help=option.help + shown, **more)

    def handle(self, *args: Any, user: str, team: str, org: str, claim: list[str], **options: Any) -> None:
        try:
            who = _user_claims(user) if user else person(OPTIONS["user"].default, org)
            claims = {**who, "team": team, "org": org, **parse_claims(claim)}
            token = open_idp(options["dir"]).mint(claims, ttl=parse_ttl(options["ttl"]))
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(token)


def _options() -> dict[str, Option]:
    """The options of `llmgate mint` for this site: its users, and a folder beside its manage.py."""
    user, folder = OPTIONS["user"], OPTIONS["dir"]
    help = f"A user of this site: name, email and groups. (a person named {user.default})"
    base = getattr(settings, "BASE_DIR", ".")
    return {
        **OPTIONS,
        "user": replace(user, default="", help=help),
        "dir": replace(folder, default=str(Path(base, folder.default))),
    }


def _user_claims(name: str) -> dict[str, Any]:
    if not apps.is_installed("django.contrib.auth"):
        raise CommandError("--user needs django.contrib.auth in INSTALLED_APPS")
    from django.contrib.auth import get_user_model

    from llmgate_django.session import identity_of

    model = get_user_model()
    try:
        claims = identity_of(model._default_manager.get_by_natural_key(name)).claims
    except model.DoesNotExist:
        raise CommandError(f"no user is named {name!r}") from None
    # The mock provider is the issuer of its tokens.
    return {key: value for key, value in claims.items() if key != "iss"}
