"""Keys of the settings that are not known: which one was probably meant, and which a later version has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.type_words import did_you_mean

PLANNED: Mapping[str, str] = MappingProxyType(
    {
        "backends[].concurrency": "known, but not there yet in this version",
        "limits[].tokens": "needs a shared store, which is not there yet",
        "limits[].cost_usd": "needs a shared store, which is not there yet",
        "limits[].store": "known, but not there yet in this version",
        "limits[].on_store_error": "known, but not there yet in this version",
    }
)
"""Keys that a later version will have, and what is said about them.  They are refused like any unknown key."""

_PLANNED_HINTS: Mapping[str, str] = MappingProxyType(
    {"limits[].tokens": "requests, concurrency", "limits[].cost_usd": "requests, concurrency"}
)


def unknown_key(name: str, path: str, keys: Iterable[str]) -> SettingsError:
    """The error for a key that is none of `keys`; `path` is that of the key."""
    pattern = re.sub(r"\[\d+\]|(?<=^backends)\..+(?=\.[^.]+$)", "[]", path)
    if pattern in PLANNED:
        return SettingsError(PLANNED[pattern], path=path, hint=_PLANNED_HINTS.get(pattern, ""))
    return SettingsError("unknown key", path=path, hint=did_you_mean(name, keys))
