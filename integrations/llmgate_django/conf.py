"""The Django setting LLMGATE: the keys of llmgate.yaml, and what only a Django site can mean.

    "auth": {"django_session": True}                      who is logged in to the site may call, without a token
    "usage": {"ledger": {"url": "django", "keep": "400d"}}   records are rows of the site's own database

These are taken out here; the rest is the core's to judge, which knows no framework.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings

from asgi_llmgate import SettingsError

NAME = "LLMGATE"
KEEP = "400d"
OWN_DATABASE = "django"
"""As `usage.ledger.url`: the database that the site's routers name for the model UsageRecord."""

_SESSION_APPS = ("django.contrib.auth", "django.contrib.sessions")
_AGE = re.compile(r"(\d+)([hdw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class Site:
    """What the setting says.  `settings` are the core's, `keep` is None where records are kept for ever."""

    settings: dict[str, Any]
    folder: Path
    session: bool
    ledger: bool
    keep: timedelta | None


def read() -> Site:
    """The setting as it is now.  Raises SettingsError."""
    given = getattr(settings, NAME, None)
    if given is None:
        raise SettingsError(f"the Django setting {NAME} is missing", hint="a dict with the keys of llmgate.yaml")
    if not isinstance(given, Mapping):
        raise SettingsError(f"the Django setting {NAME} is no dict")
    mapping = _plain(given)
    session = _take(mapping, "auth", "django_session")
    if session not in (None, True, False):
        raise SettingsError("True or False is needed", path="auth.django_session")
    if session and (missing := [app for app in _SESSION_APPS if not apps.is_installed(app)]):
        raise SettingsError(f"needs {' and '.join(missing)} in INSTALLED_APPS", path="auth.django_session")
    ledger, keep = _ledger(mapping)
    return Site(mapping, Path(getattr(settings, "BASE_DIR", ".")), bool(session), ledger, keep)


def parse_age(text: str, path: str) -> timedelta:
    """`12h`, `90d`, `4w`.  Raises SettingsError."""
    found = _AGE.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise SettingsError(f"not a duration: {text!r}", path=path, hint="such as 12h, 90d or 4w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _ledger(mapping: dict[str, Any]) -> tuple[bool, timedelta | None]:
    described = mapping["usage"].get("ledger") if isinstance(mapping.get("usage"), dict) else None
    if not isinstance(described, dict) or described.get("url") != OWN_DATABASE:
        return False, None
    _take(mapping, "usage", "ledger")
    for name in described.keys() - {"url", "keep"}:
        raise SettingsError("a ledger in the site's own database has only url and keep", path=f"usage.ledger.{name}")
    if not apps.is_installed("llmgate_django"):
        raise SettingsError("needs llmgate_django in INSTALLED_APPS", path="usage.ledger.url")
    keep = described.get("keep", KEEP)
    return True, None if keep is None else parse_age(keep, "usage.ledger.keep")


def _take(mapping: dict[str, Any], section: str, name: str) -> Any:
    found = mapping.get(section)
    return found.pop(name, None) if isinstance(found, dict) else None


def _plain(value: Any) -> Any:
    """A copy that may be changed, with paths (`BASE_DIR / "keys.json"`) as the text that settings files have."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
