"""What a value of the settings must be, and what it is, in the words of people who write YAML.

msgspec decides whether a value fits its type.  Its own texts (``Expected `int | null`, got `str` ``) are Python's and
JSON's words, so they are replaced by these:

type                  must be                                value           not
--------------------  -------------------------------------  --------------  -------------
str                   a text                                 `5`, `1.5`      a number
int                   a whole number                         `true`, `off`   true, false
float                 a number                               `[...]`         a list
bool                  true or false                          `{...}`         a mapping
tuple, list           a list                                 nothing, `~`    empty
dict, a struct        a mapping                              `2026-01-01`    a date
Literal               one of its values                      a text          a text
Meta(ge=1), gt, ...   ... of at least 1, ... above 0

A text is never repeated, because it may be a secret at the wrong place; except where one of some words must stand.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

EMPTY = '""'
"""How an empty text is shown."""

_SHOWN = 40
"""Characters of a wrong word that are shown."""

_KINDS = ((bool, "true or false"), (int, "a whole number"), (float, "a number"), (str, "a text"))
_BOUNDS = (("ge", "of at least"), ("gt", "above"), ("le", "of at most"), ("lt", "below"))


class Words(NamedTuple):
    """What is wrong, and what helps."""

    message: str
    hint: str = ""


def alternatives(kind: Any) -> tuple[Any, ...]:
    """The members of a union, without None; a type that is no union alone."""
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(each for part in get_args(kind) if part is not type(None) for each in alternatives(part))
    return (kind,)


def struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """The struct that a mapping would be here, if it would be one."""
    found = (each for each in alternatives(kind) if isinstance(each, type) and issubclass(each, msgspec.Struct))
    return next(found, None)


def generic_in(kind: Any, origin: type) -> tuple[Any, ...] | None:
    """The arguments of `dict[...]` or `tuple[...]` where the type is that, or has it in a union."""
    return next((get_args(each) for each in alternatives(kind) if get_origin(each) is origin), None)


def fits(value: Any, kind: Any) -> bool:
    """Whether msgspec takes the value for the type."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def nearest(name: str, known: Iterable[str]) -> str:
    """The one that was probably meant; "" for none."""
    import difflib  # for mistakes only

    return next(iter(difflib.get_close_matches(name, list(known), n=1)), "")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The hint that names the one that was probably meant; "" for none."""
    near = nearest(name, known)
    return f"did you mean {near}?" if near else ""


def explain_mismatch(value: Any, kind: Any) -> Words:
    """Why the value, which does not fit, does not fit the type."""
    choices = [choice for each in alternatives(kind) for choice in _choices(each)]
    wanted = _join([words for each in alternatives(kind) if (words := _wanted(each))], choices)
    if isinstance(value, str) and choices:
        hint = did_you_mean(value, map(str, choices)) or _hint_for_text(value, kind)
        return Words(f"must be {wanted}, not {value[:_SHOWN]!r}", hint)
    if isinstance(value, str) and wanted == "a text":  # of a form that a pattern describes
        return Words(f"not one of the values that can stand here: {value[:_SHOWN]!r}")
    return Words(f"must be {wanted}, not {describe_value(value)}", _hint(value, kind, choices))


def describe_value(value: Any) -> str:
    """The kind of a value; a number or a truth value itself."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return _number(value)
    kinds = ((str, "a text"), (Mapping, "a mapping"), ((list, tuple, set), "a list"))
    if named := next((words for kind, words in kinds if isinstance(value, kind)), ""):
        return named
    return "a date" if isinstance(value, (date, datetime)) else f"a {type(value).__name__}"


def _wanted(kind: Any) -> str:
    """The words for one type; "" for a Literal."""
    if get_origin(kind) is Annotated:
        base, *metas = get_args(kind)
        bounds = [
            f" {words} {getattr(meta, name):g}"
            for meta in metas
            for name, words in _BOUNDS
            if getattr(meta, name, None) is not None
        ]
        return _wanted(base) + " and".join(bounds)
    if get_origin(kind) is Literal:
        return ""
    for known, words in _KINDS:
        if kind is known:
            return words
    return "a list" if (get_origin(kind) or kind) in (tuple, list, frozenset) else "a mapping"


def _choices(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _join(wanted: list[str], choices: list[Any]) -> str:
    if choices and not wanted and len(choices) > 1:
        return f"one of {', '.join(str(choice) or EMPTY for choice in choices)}"
    wanted = [*wanted, *(f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in choices)]
    return " or ".join(filter(None, [", ".join(wanted[:-1]), wanted[-1]]))


def _hint(value: Any, kind: Any, choices: list[Any]) -> str:
    kinds = alternatives(kind)
    takes_text = str in kinds or any(isinstance(choice, str) for choice in choices)
    if value is None:
        return "write a value, or leave the key out"
    if takes_text and isinstance(value, bool):
        return "in quotes; without them YAML reads on, off, yes and no as true and false"
    if takes_text and isinstance(value, (int, float, date)):
        return "in quotes"
    if isinstance(value, str) and not takes_text:
        return _hint_for_text(value, kind)
    if isinstance(value, Mapping) and generic_in(kind, tuple) is not None:
        return "each member in a line of its own that begins with a dash"
    return ""


def _hint_for_text(text: str, kind: Any) -> str:
    """What helps where a text stands and no text may: quotes that are too many, brackets that are missing."""
    if "${" in text:
        return "a variable is always a text"
    if generic_in(kind, tuple) is not None:
        return "in brackets, or each member in a line of its own that begins with a dash"
    try:
        plain = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return ""
    return "without quotes" if isinstance(plain, (bool, int, float)) else ""


def _number(value: float) -> str:
    if isinstance(value, int) and abs(value) >= 10**15:
        return "a number that large"
    return f"{value:g}" if not isinstance(value, float) or math.isfinite(value) else "a number that is not finite"
