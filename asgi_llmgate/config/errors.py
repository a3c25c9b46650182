"""The path of a mistake in the settings, as it is written there: `auth.providers[0].audiences`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from asgi_llmgate.errors import SettingsError


@contextlib.contextmanager
def error_path(path: str) -> Iterator[None]:
    """Put `path` in front of the path of a SettingsError that is raised in the block, unless it begins with it."""
    try:
        yield
    except SettingsError as error:
        if error.path.startswith(path):
            raise
        joined = path + error.path if error.path.startswith("[") else f"{path}.{error.path}".rstrip(".")
        raise SettingsError(error.message, path=joined, hint=error.hint) from None
