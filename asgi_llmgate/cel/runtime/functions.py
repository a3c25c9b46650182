"""The functions that a rule may call: the standard ones of CEL, and functions for strings.

Beyond the standard definitions: `lowerAscii upperAscii trim split join replace` (cel-go's strings extension) and
`contains` on lists (as in agentgateway).  Regular expressions and time zones must be literals: they are checked at
start, and never come from a token.  A function whose time depends on its arguments spends steps before it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from asgi_llmgate.cel.errors import wrong_type
from asgi_llmgate.cel.runtime import conversions, times, values
from asgi_llmgate.cel.runtime.conversions import string_argument
from asgi_llmgate.cel.runtime.values import TYPES, CelType, Duration, Frame, Timestamp, spend, type_name

# ASCII only, as the names of the functions say.
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_UPPER = {lower: upper for upper, lower in _LOWER.items()}


@dataclass(frozen=True, slots=True)
class Function:
    """A function of CEL.

    call             called with the frame and the arguments, of which a receiver is the first
    arity            the accepted numbers of arguments, including a receiver
    call_style       whether it is called as f(x), as x.f(), or as either
    compile_literal  if set, the argument at index 1 must be a string literal; this is called with it at start, raises
                     ValueError, and its result becomes the argument
    steps            what one call costs, in addition to what `call` spends
    """

    call: Callable[..., Any]
    arity: tuple[int, ...]
    call_style: Literal["function", "method", "either"] = "method"
    compile_literal: Callable[[str], Any] | None = None
    steps: int = 5


def _size(frame: Frame, value: Any) -> int:
    if type_name(value) not in ("string", "bytes", "list", "map"):
        raise wrong_type()
    return len(value)


def _starts_with(frame: Frame, value: Any, prefix: Any) -> bool:
    return string_argument(frame, value).startswith(string_argument(frame, prefix))


def _ends_with(frame: Frame, value: Any, suffix: Any) -> bool:
    return string_argument(frame, value).endswith(string_argument(frame, suffix))


def _contains(frame: Frame, value: Any, part: Any) -> bool:
    if type_name(value) == "list":
        return values.contains(frame, part, value)
    return string_argument(frame, part) in string_argument(frame, value)


def _compile_pattern(source: str) -> Any:
    import re2  # 2.5 MB, for rules with matches() alone

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 18  # bytes of a compiled pattern; a larger one is an error at start
    try:
        return re2.compile(source, options)  # type: ignore[no-untyped-call]
    except re2.error as error:
        reason = error.args[0] if error.args else "cannot be compiled"
        raise ValueError(
            f"bad regular expression: {reason.decode() if isinstance(reason, bytes) else reason}"
        ) from None


def _matches(frame: Frame, value: Any, pattern: Any) -> bool:
    subject = string_argument(frame, value)
    spend(frame, len(subject) * pattern.programsize >> 6)
    return pattern.search(subject) is not None


def _trim(frame: Frame, value: Any) -> str:
    return string_argument(frame, value).strip()


def _split(frame: Frame, value: Any, separator: Any, limit: Any = -1) -> list[str]:
    whole, separator = string_argument(frame, value), string_argument(frame, separator)
    if type_name(limit) != "int":
        raise wrong_type()
    spend(frame, len(whole) if not separator else whole.count(separator))
    if limit == 0:
        return []
    if separator:
        return whole.split(separator, limit - 1 if limit > 0 else -1)
    return [*whole[: limit - 1], whole[limit - 1 :]] if 0 < limit < len(whole) else list(whole)


def _join(frame: Frame, members: Any, separator: Any = "") -> str:
    if type_name(members) != "list":
        raise wrong_type()
    separator = string_argument(frame, separator)
    spend(frame, len(members) + (len(separator) * len(members) >> 4))
    return str(separator).join([string_argument(frame, member) for member in members])


def _replace(frame: Frame, value: Any, old: Any, new: Any, limit: Any = -1) -> str:
    whole, old, new = string_argument(frame, value), string_argument(frame, old), string_argument(frame, new)
    if type_name(limit) != "int":
        raise wrong_type()
    spend(frame, whole.count(old) * len(new) >> 4)
    return whole.replace(old, new, limit)


def _calendar_getter(read: Callable[[datetime], int]) -> Function:
    def call(frame: Frame, value: Any, zone: Any = UTC) -> int:
        if type(value) is not Timestamp:
            raise wrong_type()
        return read(times.in_zone(value, zone))

    return Function(call, (1, 2), compile_literal=times.parse_zone, steps=20)


def _clock_getter(read: Callable[[datetime], int], unit: int) -> Function:
    """Like `_calendar_getter`, and for a duration its total in that unit."""

    def call(frame: Frame, value: Any, zone: Any = UTC) -> int:
        if type(value) is Duration and zone is UTC:
            return abs(value.nanos) // unit * (-1 if value.nanos < 0 else 1)
        if type(value) is not Timestamp:
            raise wrong_type()
        return read(times.in_zone(value, zone))

    return Function(call, (1, 2), compile_literal=times.parse_zone, steps=20)


def _milliseconds(frame: Frame, value: Any, zone: Any = UTC) -> int:
    # For a duration, too, only the part below a second: the conformance tests demand this.
    if type(value) not in (Timestamp, Duration):
        raise wrong_type()
    return int(value.nanos % times.SECOND // 10**6)


def _type(frame: Frame, value: Any) -> CelType:
    return TYPES[type_name(value)]


FUNCTIONS: Mapping[str, Function] = {
    "size": Function(_size, (1,), "either"),
    "startsWith": Function(_starts_with, (2,)),
    "endsWith": Function(_ends_with, (2,)),
    "contains": Function(_contains, (2,)),
    "matches": Function(_matches, (2,), "either", compile_literal=_compile_pattern, steps=20),
    "lowerAscii": Function(lambda frame, value: string_argument(frame, value).translate(_LOWER), (1,)),
    "upperAscii": Function(lambda frame, value: string_argument(frame, value).translate(_UPPER), (1,)),
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
    "getFullYear": _calendar_getter(lambda moment: moment.year),
    "getMonth": _calendar_getter(lambda moment: moment.month - 1),
    "getDate": _calendar_getter(lambda moment: moment.day),
    "getDayOfMonth": _calendar_getter(lambda moment: moment.day - 1),
    "getDayOfWeek": _calendar_getter(lambda moment: moment.isoweekday() % 7),
    "getDayOfYear": _calendar_getter(lambda moment: moment.timetuple().tm_yday - 1),
    "getHours": _clock_getter(lambda moment: moment.hour, 3600 * times.SECOND),
    "getMinutes": _clock_getter(lambda moment: moment.minute, 60 * times.SECOND),
    "getSeconds": _clock_getter(lambda moment: moment.second, times.SECOND),
    "getMilliseconds": Function(_milliseconds, (1, 2), compile_literal=times.parse_zone, steps=20),
}
