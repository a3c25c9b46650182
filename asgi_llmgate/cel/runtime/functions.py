"""The functions that a rule may call: CEL's standard ones, and the string functions that people expect.

Beyond the standard definitions: `lowerAscii upperAscii trim split join replace` (cel-go's strings extension) and
`contains` on lists (agentgateway has it).  A regular expression and a time zone must be literals: they are compiled at
start, a mistake in them shows there, and no token brings its own.  What takes time with the length of its arguments is
paid for from the budget before it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import re2

from asgi_llmgate.cel.errors import mistyped
from asgi_llmgate.cel.runtime import conversions, times, values
from asgi_llmgate.cel.runtime.conversions import text
from asgi_llmgate.cel.runtime.values import TYPES, CelType, Duration, Frame, Timestamp, kind_of, spend

_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_UPPER = {lower: upper for upper, lower in _LOWER.items()}


@dataclass(frozen=True, slots=True)
class Function:
    """`call(frame, *arguments)`, a receiver counting as the first of `arity`.

    `literal` makes something of the argument at index 1 when the rule is compiled, which must then be a string literal;
    it raises ValueError for a bad one.  `steps` is what one call costs, whatever its arguments.
    """

    call: Callable[..., Any]
    arity: tuple[int, ...]
    form: Literal["function", "method", "either"] = "method"
    literal: Callable[[str], Any] | None = None
    steps: int = 5


def _size(frame: Frame, value: Any) -> int:
    if kind_of(value) not in ("string", "bytes", "list", "map"):
        raise mistyped()
    return len(value)


def _starts_with(frame: Frame, value: Any, prefix: Any) -> bool:
    return text(frame, value).startswith(text(frame, prefix))


def _ends_with(frame: Frame, value: Any, suffix: Any) -> bool:
    return text(frame, value).endswith(text(frame, suffix))


def _contains(frame: Frame, value: Any, part: Any) -> bool:
    if kind_of(value) == "list":
        return values.contains(frame, part, value)
    return text(frame, part) in text(frame, value)


def _pattern(source: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 18
    try:
        return re2.compile(source, options)  # type: ignore[no-untyped-call]
    except re2.error as error:
        reason = error.args[0] if error.args else "cannot be compiled"
        raise ValueError(
            f"bad regular expression: {reason.decode() if isinstance(reason, bytes) else reason}"
        ) from None


def _matches(frame: Frame, value: Any, pattern: Any) -> bool:
    subject = text(frame, value)
    spend(frame, len(subject) * pattern.programsize >> 6)
    return pattern.search(subject) is not None


def _trim(frame: Frame, value: Any) -> str:
    return text(frame, value).strip()


def _split(frame: Frame, value: Any, separator: Any, limit: Any = -1) -> list[str]:
    whole, separator = text(frame, value), text(frame, separator)
    if kind_of(limit) != "int":
        raise mistyped()
    spend(frame, len(whole) if not separator else whole.count(separator))
    if limit == 0:
        return []
    if separator:
        return whole.split(separator, limit - 1 if limit > 0 else -1)
    return [*whole[: limit - 1], whole[limit - 1 :]] if 0 < limit < len(whole) else list(whole)


def _join(frame: Frame, members: Any, separator: Any = "") -> str:
    if kind_of(members) != "list":
        raise mistyped()
    separator = text(frame, separator)
    spend(frame, len(members) + (len(separator) * len(members) >> 4))
    return str(separator).join([text(frame, member) for member in members])


def _replace(frame: Frame, value: Any, old: Any, new: Any, limit: Any = -1) -> str:
    whole, old, new = text(frame, value), text(frame, old), text(frame, new)
    if kind_of(limit) != "int":
        raise mistyped()
    spend(frame, whole.count(old) * len(new) >> 4)
    return whole.replace(old, new, limit)


def _calendar(read: Callable[[datetime], int]) -> Function:
    def call(frame: Frame, value: Any, zone: Any = UTC) -> int:
        if type(value) is not Timestamp:
            raise mistyped()
        return read(times.at_zone(value, zone))

    return Function(call, (1, 2), literal=times.parse_zone, steps=20)


def _clock(read: Callable[[datetime], int], unit: int) -> Function:
    """As `_calendar`; of a duration it is the whole of it in that unit."""

    def call(frame: Frame, value: Any, zone: Any = UTC) -> int:
        if type(value) is Duration and zone is UTC:
            return abs(value.nanos) // unit * (-1 if value.nanos < 0 else 1)
        if type(value) is not Timestamp:
            raise mistyped()
        return read(times.at_zone(value, zone))

    return Function(call, (1, 2), literal=times.parse_zone, steps=20)


def _milliseconds(frame: Frame, value: Any, zone: Any = UTC) -> int:
    """Only the part below a second, of a duration too: so the specification's tests."""
    if type(value) not in (Timestamp, Duration):
        raise mistyped()
    return int(value.nanos % times.SECOND // 10**6)


def _type(frame: Frame, value: Any) -> CelType:
    return TYPES[kind_of(value)]


FUNCTIONS: Mapping[str, Function] = {
    "size": Function(_size, (1,), "either"),
    "startsWith": Function(_starts_with, (2,)),
    "endsWith": Function(_ends_with, (2,)),
    "contains": Function(_contains, (2,)),
    "matches": Function(_matches, (2,), "either", literal=_pattern, steps=20),
    "lowerAscii": Function(lambda frame, value: text(frame, value).translate(_LOWER), (1,)),
    "upperAscii": Function(lambda frame, value: text(frame, value).translate(_UPPER), (1,)),
    "trim": Function(_trim, (1,)),
    "split": Function(_split, (2, 3)),
    "join": Function(_join, (1, 2)),
    "replace": Function(_replace, (3, 4)),
    "int": Function(conversions.to_int, (1,), "function"),
    "uint": Function(conversions.to_uint, (1,), "function"),
    "double": Function(conversions.to_double, (1,), "function"),
    "string": Function(conversions.to_string, (1,), "function"),
    "bytes": Function(conversions.to_bytes, (1,), "function"),
    "bool": Function(conversions.to_bool, (1,), "function"),
    "timestamp": Function(conversions.to_timestamp, (1,), "function", steps=40),
    "duration": Function(conversions.to_duration, (1,), "function", steps=40),
    "dyn": Function(lambda frame, value: value, (1,), "function"),
    "type": Function(_type, (1,), "function"),
    "getFullYear": _calendar(lambda moment: moment.year),
    "getMonth": _calendar(lambda moment: moment.month - 1),
    "getDate": _calendar(lambda moment: moment.day),
    "getDayOfMonth": _calendar(lambda moment: moment.day - 1),
    "getDayOfWeek": _calendar(lambda moment: moment.isoweekday() % 7),
    "getDayOfYear": _calendar(lambda moment: moment.timetuple().tm_yday - 1),
    "getHours": _clock(lambda moment: moment.hour, 3600 * times.SECOND),
    "getMinutes": _clock(lambda moment: moment.minute, 60 * times.SECOND),
    "getSeconds": _clock(lambda moment: moment.second, times.SECOND),
    "getMilliseconds": Function(_milliseconds, (1, 2), literal=times.parse_zone, steps=20),
}
