"""Checks of several sections: URLs, files that must be readable, folders that must be writable."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net.urls import redact_url


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """A setting that needs packages which not everybody has."""
    try:
        yield
    except ImportError as error:
        raise SettingsError(f"needs {error.name}", hint=f"pip install 'asgi-llmgate[{name}]'") from None


def inside(folder: Path, name: str | None) -> Path | None:
    return None if name is None else folder / name


def require_url(text: str, example: str = "https://api.openai.com/v1") -> None:
    scheme, _, rest = text.partition("://")
    if scheme not in ("http", "https") or not rest:
        raise SettingsError(f"not a URL: {redact_url(text)!r}", hint=f"such as {example}")


def require_readable(file: Path, path: str) -> None:
    """What is read at the first request is looked at now, so that nothing starts half-configured."""
    try:
        file.open("rb").close()
    except OSError as error:
        hint = "to try things out, `llmgate mint` makes one"
        raise SettingsError(f"cannot read {file}: {error.strerror}", path=path, hint=hint) from None


def require_writable(place: Path, path: str) -> None:
    """A folder that is there or can be made; it is not made now, since `llmgate check` comes here as well."""
    found = place.absolute()
    while not found.exists() and found != found.parent:
        found = found.parent
    if not (found.is_dir() and os.access(found, os.W_OK | os.X_OK)):
        raise SettingsError(f"cannot write in {found}", path=path)
