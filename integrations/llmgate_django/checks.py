"""System checks: `manage.py check` reports problems of the setting LLMGATE before a server starts.

llmgate.E001  a setting is wrong
llmgate.E002  a rule cannot be compiled
llmgate.W003  no ASGI application of this site mounts the gateway
llmgate.W004  `runserver` serves WSGI, which has no gateway
llmgate.W005  auth.mode accepts requests without a token
llmgate.W006  a secret is missing; a warning, because checks also run where no secret is, such as in a build
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from asgi_llmgate import SettingsError
from llmgate_django.conf import NAME, Site, read
from llmgate_django.site import SiteGateway, build


@register("llmgate")
def check_settings(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """All checks; see https://docs.djangoproject.com/en/5.2/topics/checks/ for the arguments."""
    if app_configs is not None and all(config.label != "llmgate" for config in app_configs):
        return []
    found: list[CheckMessage] = []
    try:
        site = read()
    except SettingsError as error:
        return [_message(error)]
    try:
        build(site)
    except SettingsError as error:
        found = [_message(each) for each in (error, *error.others)]
    if any(message.is_serious() for message in found):
        return found
    return [*found, *_check_deployment(), *_check_auth_mode(site)]


def _message(error: SettingsError) -> CheckMessage:
    place = f"{NAME}: {error.path}: " if error.path else ""
    text, hint = f"{place}{error.message}", error.hint or None
    if error.missing:
        return Warning(text, hint=hint, id="llmgate.W006")
    kind = "E002" if error.path.startswith(("policy.rules", "policy.authorization")) else "E001"
    return Error(text, hint=hint, id=f"llmgate.{kind}")


def _check_deployment() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    module = asgi_module()
    # Importing asgi.py calls `mount`, which is counted in SiteGateway.mounted.
    if module:
        import_module(module)
    if not SiteGateway.mounted:
        where = f"{module} does not call" if module else "WSGI cannot serve the gateway, and no asgi.py calls"
        hint = "in asgi.py: application = llmgate_django.mount(get_asgi_application())"
        found.append(Warning(f"{where} llmgate_django.mount()", hint=hint, id="llmgate.W003"))
    elif is_runserver():
        hint = f'serve {module or "your asgi.py"} with uvicorn, or put "daphne" first into INSTALLED_APPS'
        found.append(Warning("runserver serves WSGI, and cannot serve the gateway", hint=hint, id="llmgate.W004"))
    return found


def is_runserver() -> bool:
    """Whether this process is Django's own `runserver`; daphne replaces it by one that serves ASGI."""
    return sys.argv[1:2] == ["runserver"] and not apps.is_installed("daphne")


def asgi_module() -> str:
    """The module of ASGI_APPLICATION, or `asgi` beside the WSGI application, the settings or the URLs, or ""."""
    named = getattr(settings, "ASGI_APPLICATION", None)
    if named:
        return str(named).rpartition(".")[0]
    beside = [settings.WSGI_APPLICATION, os.environ.get("DJANGO_SETTINGS_MODULE"), settings.ROOT_URLCONF]
    modules = [name.partition(".")[0] + ".asgi" for name in beside if name and "." in name]
    return next((module for module in modules if _is_file(module)), "")


def _is_file(module: str) -> bool:
    spec = find_spec(module)
    return spec is not None and spec.origin is not None


def _check_auth_mode(site: Site) -> list[CheckMessage]:
    mode = site.settings.get("auth", {}).get("mode", "strict")
    if mode not in ("off", "permissive"):
        return []
    why = (
        "DEBUG is on as well: use both only on a machine that others cannot reach"
        if settings.DEBUG
        else "DEBUG is off, so this looks like production"
    )
    return [
        Warning(
            f'{NAME}: auth.mode is "{mode}", which accepts requests without a token; {why}',
            hint='use auth.mode "strict", which is the default',
            id="llmgate.W005",
        )
    ]
