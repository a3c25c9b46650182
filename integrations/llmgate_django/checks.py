"""System checks: what `manage.py check` says about LLMGATE before a server runs into it.

llmgate.E001  a setting is wrong
llmgate.E002  a rule cannot be compiled
llmgate.W003  no ASGI application of this site mounts the gateway
llmgate.W004  `runserver` serves WSGI, where the gateway is not
llmgate.W005  auth.mode refuses nobody
llmgate.W006  a model server's key is not there; a warning, because checks also run where no secret is, as in a build
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
    if app_configs is not None and all(config.label != "llmgate" for config in app_configs):
        return []
    try:
        site = read()
        build(site)
    except SettingsError as error:
        place = f"{NAME}: {error.path}: " if error.path else ""
        text, hint = f"{place}{error.message}", error.hint or None
        if error.path.startswith("backends.") and ".api_key" in error.path:
            return [Warning(text, hint=hint, id="llmgate.W006")]
        kind = "E002" if error.path.startswith("policy.rules") else "E001"
        return [Error(text, hint=hint, id=f"llmgate.{kind}")]
    return [*_deployment(), *_openness(site)]


def _deployment() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    module = _asgi_module()
    if module:
        import_module(module)
    if not SiteGateway.mounted:
        where = f"{module} does not call" if module else "WSGI_APPLICATION alone cannot serve it: no asgi.py calls"
        hint = "in asgi.py: application = llmgate_django.mount(get_asgi_application())"
        found.append(Warning(f"{where} llmgate_django.mount()", hint=hint, id="llmgate.W003"))
    elif sys.argv[1:2] == ["runserver"] and not apps.is_installed("daphne"):
        hint = f'serve {module or "your asgi.py"} with uvicorn, or put "daphne" first into INSTALLED_APPS'
        found.append(Warning("runserver serves WSGI: the gateway's paths are 404", hint=hint, id="llmgate.W004"))
    return found


def _asgi_module() -> str:
    """The module of ASGI_APPLICATION, else `asgi` beside the WSGI application, the settings or the URLs, else ""."""
    named = getattr(settings, "ASGI_APPLICATION", None)
    if named:
        return str(named).rpartition(".")[0]
    beside = [settings.WSGI_APPLICATION, os.environ.get("DJANGO_SETTINGS_MODULE"), settings.ROOT_URLCONF]
    modules = [name.partition(".")[0] + ".asgi" for name in beside if name and "." in name]
    return next((module for module in modules if _is_file(module)), "")


def _is_file(module: str) -> bool:
    spec = find_spec(module)
    return spec is not None and spec.origin is not None


def _openness(site: Site) -> list[CheckMessage]:
    mode = site.settings.get("auth", {}).get("mode", "strict")
    if mode not in ("off", "permissive"):
        return []
    why = (
        "DEBUG is on as well: keep both on a machine that nobody else reaches"
        if settings.DEBUG
        else "DEBUG is off, so this looks like production"
    )
    return [
        Warning(
            f'{NAME}: auth.mode is "{mode}": nobody is refused for a missing token; {why}',
            hint='auth.mode "strict", which is the default',
            id="llmgate.W005",
        )
    ]
