"""The values of an expression: JSON's types as Python has them, and the types that CEL adds.

    CEL                         Python
    --------------------------  ---------------------------------------------
    null, bool, int, double     None, bool, int, float
    string, bytes               str, bytes
    list, map                   list (or tuple), any Mapping
    uint, timestamp, duration,  Uint, Timestamp, Duration, CelType
      type

Claims are used as they are, never converted.  Python and CEL differ in equality: `True == 1` is true in Python and not
in CEL; `1 == 1.0 == 1u` is true in both (https://github.com/google/cel-spec/blob/master/doc/langdef.md#equality).  So
`equal` is used for CEL's `==`, and Python's `==` only where both sides are known to have one plain type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asgi_llmgate.cel.errors import BudgetExceeded, EvaluationError

MIN_INT, MAX_INT, MAX_UINT = -(2**63), 2**63 - 1, 2**64 - 1

Frame = list[Any]
"""The mutable state of one evaluation: [variables, steps left, macro variable, macro variable, ...]."""

ACTIVATION, STEPS, FIRST_VARIABLE = 0, 1, 2

ABSORBED_ERROR_STEPS = 40
"""Steps that an error costs when `||`, `&&` or a macro absorbs it: raising an exception is slow."""


class Uint(int):
    """An unsigned 64-bit integer.  It equals an int of the same value; arithmetic with an int is an error."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """Nanoseconds since 1970-01-01T00:00:00Z, in years 1 to 9999."""

    nanos: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """Nanoseconds in a signed 64-bit integer (292 years), as in cel-go."""

    nanos: int


@dataclass(frozen=True, slots=True)
class CelType:
    """The value of `type(x)`."""

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
_COMPARISON_STEPS = 6
"""Steps for the comparison of two lists or maps, without those for their members."""

_DIRECTLY_COMPARABLE = frozenset({str, int, float, bool, bytes, type(None), Timestamp, Duration, CelType})


def type_name(value: Any) -> str:
    """The name of the value's CEL type.  Raises EvaluationError for a value of another type."""
    found = _KINDS.get(type(value))
    if found is not None:
        return found
    if isinstance(value, Mapping):
        return "map"
    # Subclasses, such as an enum of str.
    for base in (str, bytes, int, float, list, tuple):
        if isinstance(value, base):
            return _KINDS[base]
    raise EvaluationError("type", "a value has a type that CEL does not know")


def to_comparable(number: Any) -> float:
    """The number in the form in which int, uint and double are compared with each other.

    That is a double, so beyond 2**53 the comparison is not exact, as the conformance tests of the specification demand.
    """
    return int(number) if isinstance(number, int) and abs(number) <= 2**53 else float(number)


def spend(frame: Frame, steps: int) -> None:
    """Take steps from the budget.  Call it BEFORE the work that costs them.  Raises BudgetExceeded."""
    frame[STEPS] -= steps
    if frame[STEPS] < 0:
        raise BudgetExceeded


def equal(frame: Frame, left: Any, right: Any) -> bool:
    """CEL's `==`: numbers by value, lists and maps member by member; other types never equal each other."""
    if type(left) is type(right) and type(left) in _DIRECTLY_COMPARABLE:
        return bool(left == right)
    kind, other = type_name(left), type_name(right)
    if kind != other:
        return kind in NUMERIC and other in NUMERIC and to_comparable(left) == to_comparable(right)
    if kind == "list":
        return _equal_lists(frame, left, right)
    if kind == "map":
        return _equal_maps(frame, left, right)
    return bool(left == right)


def _equal_lists(frame: Frame, left: Sequence[Any], right: Sequence[Any]) -> bool:
    if len(left) != len(right):
        return False
    spend(frame, _COMPARISON_STEPS + 2 * len(left))
    return all(equal(frame, a, b) for a, b in zip(left, right, strict=True))


def _equal_maps(frame: Frame, left: Mapping[Any, Any], right: Mapping[Any, Any]) -> bool:
    if len(left) != len(right):
        return False
    spend(frame, _COMPARISON_STEPS + 2 * len(left))
    return all(key in right and equal(frame, value, right[key]) for key, value in left.items())


def contains(frame: Frame, needle: Any, members: Any) -> bool:
    """CEL's `in`, for lists and maps.  `"a" in "admins"` is an error, not a search for a substring."""
    kind = type_name(members)
    if kind == "map":
        if not is_key(needle) and type_name(needle) != "bool":
            raise EvaluationError("type", "a value of this type cannot be a key of a map")
        return is_key(needle) and needle in members
    if kind != "list":
        raise EvaluationError("type", "'in' needs a list or a map on its right")
    if type(needle) is str:  # it equals only a str, in Python as well, so Python's own search is right
        spend(frame, len(members) >> 2)
        return needle in members
    spend(frame, len(members))
    return any(equal(frame, needle, member) for member in members)


def is_key(value: Any) -> bool:
    """Whether a map can have this key: strings and numbers."""
    # A dict finds 1, 1u and 1.0 under one key, as CEL demands, but also True, another key in CEL.  So bools are
    # not supported as keys.
    kind = type_name(value)
    return kind == "string" or kind in NUMERIC
