"""`manage.py llmgate_mint`: a token of the mock identity provider.  Standard output has the token and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from asgi_llmgate import SettingsError
from asgi_llmgate.testing.idp import MockIdP
from llmgate_django.conf import parse_age


class Command(BaseCommand):
    help = (
        "Print a token of the mock identity provider, for trials. Its key is created at the first use and kept in the "
        "folder; the public key is in jwks.json there, for the setting LLMGATE."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        folder = Path(getattr(settings, "BASE_DIR", "."), ".llmgate")
        parser.add_argument("--user", help="a user of this site, whose name, email and groups are in the token")
        parser.add_argument(
            "--claim", metavar="K=V", action="append", default=[], help="another claim, as JSON or text"
        )
        parser.add_argument("--ttl", default="1h", help="lifetime of the token: 1h, 7d (1h)")
        parser.add_argument("--dir", default=str(folder), help=f"folder of the key ({folder})")

    def handle(self, *args: Any, user: str | None, claim: list[str], ttl: str, dir: str, **options: Any) -> None:
        claims = (_user_claims(user) if user else {}) | dict(map(_parse_claim, claim))
        try:
            seconds = parse_age(ttl, "--ttl").total_seconds()
            idp = MockIdP.in_folder(dir)
        except SettingsError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{dir} cannot be used: {error.strerror}") from None
        except ValueError:
            raise CommandError(f"{dir} cannot be used: its key file is damaged") from None
        self.stdout.write(idp.mint(claims, ttl=seconds))


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


def _parse_claim(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise CommandError(f"{text!r} is not of the form name=value")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
