"""All mistakes in the keys and the types of settings: msgspec stops at the first one.

The mapping is looked through part by part, and msgspec decides about each part.  What is wrong is replaced, so that the
rest can be built and is checked in the same run: an optional value by its default, a required one by a value that says
nothing.  A misspelt key is read as the one that was probably meant.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

import msgspec

from asgi_llmgate.config.unknown_keys import unknown_key
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.type_words import alternatives, explain_mismatch, fits, generic_in, nearest, struct_in

_WRONG: Any = object()


def repair(mapping: Mapping[str, Any], settings: type[msgspec.Struct], mistakes: Mistakes) -> Any:
    """The mapping as `settings`, with what is wrong replaced; `mistakes` gets everything that is."""
    return msgspec.convert(_Repair(mistakes).value(mapping, settings, ""), settings)


class _Repair:
    """One run.  The methods take the path for the errors."""

    def __init__(self, mistakes: Mistakes) -> None:
        self._mistakes = mistakes

    def value(self, value: Any, kind: Any, path: str) -> Any:
        """The value, with what is wrong in it replaced; _WRONG where the value itself is."""
        if fits(value, kind):
            return value
        if isinstance(value, Mapping):
            if (struct := struct_in(kind)) is not None:
                return self._struct(value, struct, path)
            if (members := generic_in(kind, dict)) is not None:
                return {
                    self._key(key, path): self._needed(item, members[1], _join(path, key))
                    for key, item in value.items()
                }
        elif isinstance(value, (list, tuple)) and (members := generic_in(kind, tuple)) is not None:
            return [self._needed(item, members[0], f"{path}[{index}]") for index, item in enumerate(value)]
        if not (self._mistakes.is_unknown(path) and _takes_text(kind)):  # else it is a variable that is not set
            words = explain_mismatch(value, kind)
            self._mistakes.add_unknown(SettingsError(words.message, path=path, hint=words.hint))
        return _WRONG

    def _needed(self, value: Any, kind: Any, path: str) -> Any:
        """The same with something in the place of a value that is wrong."""
        found = self.value(value, kind, path)
        return _filler(kind, path) if found is _WRONG else found

    def _key(self, key: Any, path: str) -> str:
        if not isinstance(key, str):
            words = explain_mismatch(key, str)
            self._mistakes.add(SettingsError(f"a key {words.message}", path=_join(path, key), hint=words.hint))
        return str(key)

    def _struct(self, value: Mapping[Any, Any], struct: type[msgspec.Struct], path: str) -> dict[str, Any]:
        kinds = kinds_of(struct)
        known = {key: self.value(item, kinds[key], _join(path, key)) for key, item in value.items() if key in kinds}
        for key, item in value.items():
            if key not in kinds:
                self._mistakes.add(unknown_key(str(key), _join(path, key), kinds))
                meant = nearest(str(key), [each for each in kinds if each not in known])
                if meant:
                    known[meant] = self._misspelt(item, kinds[meant], _join(path, key), _join(path, meant))
        required = {field.encode_name for field in msgspec.structs.fields(struct) if field.required}
        for key in kinds:
            if key in required and key not in known:
                self._mistakes.add_unknown(SettingsError("this key is missing", path=_join(path, key)))
                known[key] = _WRONG
        fillers = {key: _filler(kinds[key], _join(path, key)) for key in required if known[key] is _WRONG}
        return {key: item for key, item in known.items() if item is not _WRONG} | fillers

    def _misspelt(self, value: Any, kind: Any, written: str, meant: str) -> Any:
        """The value of a misspelt key, if it can be one of the key that was meant."""
        self._mistakes.add_name(meant, written)
        has_members = (struct_in(kind) or generic_in(kind, dict)) is not None
        if fits(value, kind) or (isinstance(value, Mapping) and has_members):
            return self.value(value, kind, meant)
        self._mistakes.mark_unknown(meant)
        return _WRONG


def kinds_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The types of the keys, as they are written."""
    hints = typing.get_type_hints(struct, include_extras=True)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(struct)}


def _takes_text(kind: Any) -> bool:
    return any(each is str or get_origin(each) is Literal for each in alternatives(kind))


def _filler(kind: Any, path: str) -> Any:
    """A value of the type that says nothing.  A text is another one at each path, so that no two are found equal."""
    kind = alternatives(kind)[0]
    if kind is str:
        return f"?{path}"
    if (struct := struct_in(kind)) is not None:
        kinds = kinds_of(struct)
        names = [field.encode_name for field in msgspec.structs.fields(struct) if field.required]
        return {name: _filler(kinds[name], _join(path, name)) for name in names}
    origin = get_origin(kind) or kind
    if origin is Literal:
        return get_args(kind)[0]
    return {} if origin is dict else [] if origin is tuple else 1


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)
