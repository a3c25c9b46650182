"""Mistakes in the settings: where they are (`auth.providers[0].audiences`), and what helps.

msgspec finds them and says where; here its message gets the path as people write it, the key that was probably meant,
and, for keys that a later version will have, that this one does not have them.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import typing
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from asgi_llmgate.errors import SettingsError

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

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_LOCATION = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")


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


def convert(mapping: Mapping[str, Any], settings: type[msgspec.Struct]) -> Any:
    """The mapping as `settings`, checked.  Raises SettingsError with the path of the first mistake."""
    try:
        return msgspec.convert(mapping, settings)
    except msgspec.ValidationError as error:
        message = str(error)
    # msgspec writes [...] for a free key, such as the name of a backend: find out which one it is
    if (free := re.search(r"\$\.(\w+)\[\.\.\.\]", message)) and isinstance(items := mapping[free[1]], Mapping):
        kind = _struct(typing.get_type_hints(settings)[free[1]])
        for name, value in items.items():
            try:
                msgspec.convert(value, kind)
            except msgspec.ValidationError:
                raise _explained(message.replace("[...]", f".{name}", 1), settings) from None
    raise _explained(message, settings)


def _explained(text: str, settings: type[msgspec.Struct]) -> SettingsError:
    found = _LOCATION.search(text)
    path = found["path"] if found else ""
    message = _LOCATION.sub("", text)
    kind = _type_at(path, settings)
    if unknown := _UNKNOWN.match(message):
        return _unknown_key(unknown["name"], path, kind)
    is_enum = message.startswith("Invalid enum value") or typing.get_origin(kind) is Literal
    choices = _literals(kind) if is_enum else ()
    hint = "one of " + ", ".join(map(str, choices)) if choices else ""
    if hint and message.startswith("Expected `str`"):
        hint += "; in quotes, where YAML would read " + ("true or false" if "`bool`" in message else "a number")
    return SettingsError(message[:1].lower() + message[1:], path=path, hint=hint)


def _unknown_key(name: str, path: str, kind: Any) -> SettingsError:
    full = f"{path}.{name}" if path else name
    pattern = re.sub(r"\[\d+\]|(?<=^backends)\.[^.]+", "[]", full)
    if pattern in PLANNED:
        return SettingsError(PLANNED[pattern], path=full, hint=_PLANNED_HINTS.get(pattern, ""))
    struct = _struct(kind)
    keys = [field.encode_name for field in msgspec.structs.fields(struct)] if struct else []
    near = difflib.get_close_matches(name, keys, n=1)
    return SettingsError("unknown key", path=full, hint=f"did you mean {near[0]}?" if near else "")


def _type_at(path: str, settings: type[msgspec.Struct]) -> Any:
    """The type annotation at a path of the settings."""
    kind: Any = settings
    for step in re.findall(r"[^.\[\]]+|\[\d+\]", path):
        struct = _struct(kind)
        fields = typing.get_type_hints(struct) if struct and not step.startswith("[") else {}
        kind = fields.get(step, kind)  # an index or a free key stays within the type already reached
    return kind


def _struct(kind: Any) -> type[msgspec.Struct] | None:
    """The struct in an annotation, inside of lists, mappings and unions too."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return next((found for part in typing.get_args(kind) if (found := _struct(part))), None)


def _literals(kind: Any) -> tuple[Any, ...]:
    """The values that a Literal in an annotation allows."""
    if typing.get_origin(kind) is Literal:
        return typing.get_args(kind)
    return next((found for part in typing.get_args(kind) if (found := _literals(part))), ())
