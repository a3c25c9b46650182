"""The values of an expression: what JSON has, as Python has it, and the five types that CEL adds.

    CEL                         Python
    --------------------------  ---------------------------------------------
    null, bool, int, double     None, bool, int, float
    string, bytes               str, bytes
    list, map                   list (or tuple), any Mapping
    uint, timestamp, duration,  Uint, Timestamp, Duration, CelType
      type

Claims are never converted.  What Python and CEL see differently is decided here: `True == 1` in Python, never in CEL;
`1 == 1.0 == 1u` in both (https://github.com/google/cel-spec/blob/master/doc/langdef.md#equality).  So nothing compares
with `==` unless both sides are known to be of one plain type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asgi_llmgate.cel.errors import BudgetExceeded, EvaluationError

MIN_INT, MAX_INT, MAX_UINT = -(2**63), 2**63 - 1, 2**64 - 1

Frame = list[Any]
"""What one evaluation owns: [activation, steps left, macro variable, macro variable, ...].  Nothing else is mutable."""

ACTIVATION, STEPS, FIRST_VARIABLE = 0, 1, 2

ABSORBED = 40
"""Steps that an error costs where `||`, `&&` or a macro goes on without it: raising one takes its time."""


class Uint(int):
    """An unsigned 64-bit integer; equal to an int of the same value, but not to be mixed with one in arithmetic."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """Nanoseconds since 1970-01-01T00:00:00Z, in years 1 to 9999."""

    nanos: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """Nanoseconds, as CEL's reference implementations have them: a signed 64-bit number, 292 years."""

    nanos: int


@dataclass(frozen=True, slots=True)
class CelType:
    """What `type(x)` gives."""

    name: str


_KINDS: dict[type, str] = {
    type(None): "null_type",
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    tuple: "list",
    dict: "map",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    CelType: "type",
}

TYPES: Mapping[str, CelType] = {name: CelType(name) for name in _KINDS.values()}
NUMERIC = frozenset({"int", "uint", "double"})
INTEGRAL = frozenset({"int", "uint"})
_COMPARE = 6
"""Steps that the comparison of two lists or maps costs, beside those for their members."""

_PLAIN = frozenset({str, int, float, bool, bytes, type(None), Timestamp, Duration, CelType})


def kind_of(value: Any) -> str:
    """The CEL type of a value.  A value that is none of CEL's is an error, not a guess."""
    found = _KINDS.get(type(value))
    if found is not None:
        return found
    if isinstance(value, Mapping):
        return "map"
    for base in (str, bytes, int, float, list, tuple):
        if isinstance(value, base):
            return _KINDS[base]
    raise EvaluationError("type", "a value has a type that CEL does not know")


def ordered(number: Any) -> float:
    """What int, uint and double are compared as: doubles, beyond 2**53 inexactly, as the specification's tests ask."""
    return int(number) if isinstance(number, int) and abs(number) <= 2**53 else float(number)


def spend(frame: Frame, steps: int) -> None:
    """Take steps from the budget BEFORE doing what they pay for."""
    frame[STEPS] -= steps
    if frame[STEPS] < 0:
        raise BudgetExceeded


def equal(frame: Frame, left: Any, right: Any) -> bool:
    """CEL's `==`: numbers by value, other types never equal each other, lists and maps member by member."""
    if type(left) is type(right) and type(left) in _PLAIN:
        return bool(left == right)
    kind, other = kind_of(left), kind_of(right)
    if kind != other:
        return kind in NUMERIC and other in NUMERIC and ordered(left) == ordered(right)
    if kind == "list":
        return _equal_lists(frame, left, right)
    if kind == "map":
        return _equal_maps(frame, left, right)
    return bool(left == right)


def _equal_lists(frame: Frame, left: Sequence[Any], right: Sequence[Any]) -> bool:
    if len(left) != len(right):
        return False
    spend(frame, _COMPARE + 2 * len(left))
    return all(equal(frame, a, b) for a, b in zip(left, right, strict=True))


def _equal_maps(frame: Frame, left: Mapping[Any, Any], right: Mapping[Any, Any]) -> bool:
    if len(left) != len(right):
        return False
    spend(frame, _COMPARE + 2 * len(left))
    return all(key in right and equal(frame, value, right[key]) for key, value in left.items())


def contains(frame: Frame, needle: Any, members: Any) -> bool:
    """CEL's `in`.  A string has no members: `"a" in "admins"` is an error and not a substring search."""
    kind = kind_of(members)
    if kind == "map":
        if not is_key(needle) and kind_of(needle) != "bool":
            raise EvaluationError("type", "a value of this type is no key of a map")
        return is_key(needle) and needle in members
    if kind != "list":
        raise EvaluationError("type", "'in' needs a list or a map on its right")
    if type(needle) is str:  # equals nothing but a str, so Python's own search says the same
        spend(frame, len(members) >> 2)
        return needle in members
    spend(frame, len(members))
    return any(equal(frame, needle, member) for member in members)


def is_key(value: Any) -> bool:
    """Whether a map can have this key.  Python's hash unifies 1, 1u and 1.0 as CEL does, but also true: no bools."""
    kind = kind_of(value)
    return kind == "string" or kind in NUMERIC
