"""`callable: package.module:name` in settings: a function or class of the host's own."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from typing import Any

from asgi_llmgate.errors import SettingsError


def load_callable(name: str) -> Callable[..., Any]:
    """Import what the setting names.  Raises SettingsError, with the path `callable`."""
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(
            f"{name!r} cannot be imported: {error}", path="callable", hint="package.module:name"
        ) from None
    if not callable(found):
        raise SettingsError(f"{name!r} is not a function or a class", path="callable")
    result: Callable[..., Any] = found
    return result
