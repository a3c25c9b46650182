"""The Django setting LLMGATE: the keys of llmgate.yaml, and two that only a Django site has.

    "auth": {"django_session": True}                         users who are logged in may call without a token
    "usage": {"ledger": {"url": "django", "keep": "400d"}}   usage records are rows of the site's own database

These two are taken out here; all other keys are checked by asgi_llmgate, which knows no framework.
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
"""Default of `usage.ledger.keep`."""

OLDEST = timedelta(days=36_500)
"""The longest duration, as in the core.  A longer one leads to a date before the year 1."""

OWN_DATABASE = "django"
"""Value of `usage.ledger.url`: the database that the site's routers choose for the model UsageRecord."""

_SESSION_APPS = ("django.contrib.auth", "django.contrib.sessions")
_AGE = re.compile(r"(\d{1,6})([hdw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class Site:
    """The setting, in parts.

    `settings`: the keys for `Gateway.from_settings`; `folder`: what file names in them are relative to.  `session`:
    whether the site's session is an identity.  `ledger`: whether records go to the site's database; `keep`: their
    maximum age, None for ever.
    """

    settings: dict[str, Any]
    folder: Path
    session: bool
    ledger: bool
    keep: timedelta | None

    @property
    def other_ledger(self) -> bool:
        """Whether records go to another database, which the gateway opens, prunes and reports on itself."""
        return bool(self.settings.get("usage", {}).get("ledger"))  # `read` has taken out the site's own


def read() -> Site:
    """Read the setting.  Raises SettingsError."""
    given = getattr(settings, NAME, None)
    if given is None:
        raise SettingsError(f"the Django setting {NAME} is missing", hint="a dict with the keys of llmgate.yaml")
    if not isinstance(given, Mapping):
        raise SettingsError(f"the Django setting {NAME} is not a dict", hint="a dict with the keys of llmgate.yaml")
    mapping = _plain(given)
    # Taken out, because the core refuses keys that it does not know.
    session = _take(mapping, "auth", "django_session")
    if session not in (None, True, False):
        raise SettingsError("must be True or False", path="auth.django_session")
    if session and (missing := [app for app in _SESSION_APPS if not apps.is_installed(app)]):
        raise SettingsError(f"needs {' and '.join(missing)} in INSTALLED_APPS", path="auth.django_session")
    ledger, keep = _ledger(mapping)
    return Site(mapping, Path(getattr(settings, "BASE_DIR", ".")), bool(session), ledger, keep)


def parse_age(text: str, path: str) -> timedelta:
    """Parse `12h`, `90d` or `4w`.  `path`: the setting or option, for the error.  Raises SettingsError."""
    found = _AGE.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise SettingsError(f"not a duration: {text!r}", path=path, hint="such as 12h, 90d or 4w")
    age = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if age > OLDEST:
        raise SettingsError(f"longer than {OLDEST.days} days: {text!r}", path=path)
    return age


def _ledger(mapping: dict[str, Any]) -> tuple[bool, timedelta | None]:
    described = mapping["usage"].get("ledger") if isinstance(mapping.get("usage"), dict) else None
    if not isinstance(described, dict) or described.get("url") != OWN_DATABASE:
        return False, None
    _take(mapping, "usage", "ledger")
    for name in described.keys() - {"url", "keep"}:
        # Such as `journal`: there is none, because the rows are written to the database directly.
        raise SettingsError("a ledger in the site's own database has only url and keep", path=f"usage.ledger.{name}")
    if not apps.is_installed("llmgate_django"):
        raise SettingsError("needs llmgate_django in INSTALLED_APPS", path="usage.ledger.url")
    keep = described.get("keep", KEEP)
    return True, None if keep is None else parse_age(keep, "usage.ledger.keep")


def _take(mapping: dict[str, Any], section: str, name: str) -> Any:
    found = mapping.get(section)
    return found.pop(name, None) if isinstance(found, dict) else None


def _plain(value: Any) -> Any:
    """A deep copy with paths (`BASE_DIR / "keys.json"`) as texts, as in a settings file."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
