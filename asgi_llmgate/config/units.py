"""Values that settings write as text: sizes, durations, URLs, paths of files and folders."""

from __future__ import annotations

import os
import re
from pathlib import Path

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net.urls import redact_url

_SIZE = re.compile(r"(\d+)\s*(|B|kB|KiB|MB|MiB|GB|GiB)", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kb": 10**3, "kib": 2**10, "mb": 10**6, "mib": 2**20, "gb": 10**9, "gib": 2**30}

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
LONGEST = 36_500
"""Days of the longest duration.  A longer one leads to a date before the year 1, or to too large a number."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_size(value: str | int, path: str = "") -> int:
    """Bytes of `32MiB`, `500kB` or a plain number.  Raises SettingsError with `path`."""
    if isinstance(value, int):
        return value
    found = _SIZE.fullmatch(value.strip())
    if found is None:
        raise SettingsError(f"not a size: {value!r}", path=path, hint="a number of bytes, or such as 32MiB")
    return int(found[1]) * _UNITS[found[2].lower()]


def parse_time_span(text: str, path: str = "") -> float:
    """Seconds of `90s`, `15m`, `12h`, `7d`, `4w`.  Raises SettingsError with `path`."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise SettingsError(f"not a duration: {text!r}", path=path, hint="such as 12h or 30d; s, m, h, d, w")
    seconds = float(found[1]) * _SECONDS[found[2]]
    if seconds > LONGEST * _SECONDS["d"]:
        raise SettingsError(f"longer than {LONGEST} days: {text!r}", path=path)
    return seconds


def resolve_path(folder: Path, name: str | None) -> Path | None:
    """A path in the settings, relative to their folder; None where there is none."""
    return None if name is None else folder / name


def require_url(text: str, example: str = "https://api.openai.com/v1") -> None:
    """Raises SettingsError unless the text is an http or https URL."""
    scheme, _, rest = text.partition("://")
    if scheme not in ("http", "https") or not rest:
        raise SettingsError(f"not a URL: {redact_url(text)!r}", hint=f"such as {example}")


def require_readable(file: Path, path: str) -> None:
    """Raises SettingsError unless the file can be opened: found at the start, not at the first request."""
    try:
        file.open("rb").close()
    except OSError as error:
        hint = "to try things out, `llmgate mint` makes one"
        raise SettingsError(f"cannot read {file}: {error.strerror}", path=path, hint=hint) from None


def require_writable(folder: Path, path: str = "") -> None:
    """Raises SettingsError unless the folder is there or can be made.

    It is not made: `llmgate check` calls this as well.
    """
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        raise SettingsError(f"cannot write in {existing}", path=path)
