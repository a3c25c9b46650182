"""The operators, as tables from pairs of operand types to functions.  A pair that is not in the table is an error.

langdef.md#list-of-standard-definitions.  Integers are 64 bits wide and overflow is an error; `/` and `%` truncate
toward zero; doubles follow IEEE 754.  Comparison crosses int, uint and double.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from asgi_llmgate.cel.errors import EvaluationError, wrong_type
from asgi_llmgate.cel.runtime import times
from asgi_llmgate.cel.runtime.values import (
    MAX_INT,
    MAX_UINT,
    MIN_INT,
    NUMERIC,
    Frame,
    Uint,
    is_key,
    spend,
    to_comparable,
    type_name,
)

Operator = Callable[[Any, Any], Any]
_TIME, _SPAN = "google.protobuf.Timestamp", "google.protobuf.Duration"


def check_int(value: int) -> int:
    """The value.  Raises EvaluationError when it does not fit into 64 bits."""
    if not MIN_INT <= value <= MAX_INT:
        raise EvaluationError("value", "integer overflow")
    return value


def check_uint(value: int) -> Uint:
    """The value as a Uint.  Raises EvaluationError when it does not fit into 64 bits without a sign."""
    if not 0 <= value <= MAX_UINT:
        raise EvaluationError("value", "check_uint integer overflow")
    return Uint(value)


def _quotient(left: int, right: int) -> int:
    # Truncates toward zero; Python's // rounds down.
    if right == 0:
        raise EvaluationError("value", "division by zero")
    return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)


def _remainder(left: int, right: int) -> int:
    return left - right * _quotient(left, right)


def _divide(left: float, right: float) -> float:
    # IEEE 754; Python raises ZeroDivisionError.
    if right != 0.0:
        return left / right
    if left == 0.0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _numbers(exact: Operator, double: Operator | None) -> dict[tuple[str, str], Operator]:
    table: dict[tuple[str, str], Operator] = {
        ("int", "int"): lambda a, b: check_int(exact(a, b)),
        ("uint", "uint"): lambda a, b: check_uint(exact(int(a), int(b))),
    }
    if double is not None:
        table["double", "double"] = double
    return table


ARITHMETIC: dict[str, dict[tuple[str, str], Operator]] = {
    "+": {
        **_numbers(operator.add, operator.add),
        ("string", "string"): operator.add,
        ("bytes", "bytes"): operator.add,
        ("list", "list"): lambda a, b: [*a, *b],
        (_TIME, _SPAN): lambda a, b: times.make_timestamp(a.nanos + b.nanos),
        (_SPAN, _TIME): lambda a, b: times.make_timestamp(a.nanos + b.nanos),
        (_SPAN, _SPAN): lambda a, b: times.make_duration(a.nanos + b.nanos),
    },
    "-": {
        **_numbers(operator.sub, operator.sub),
        (_TIME, _TIME): lambda a, b: times.make_duration(a.nanos - b.nanos),
        (_TIME, _SPAN): lambda a, b: times.make_timestamp(a.nanos - b.nanos),
        (_SPAN, _SPAN): lambda a, b: times.make_duration(a.nanos - b.nanos),
    },
    "*": _numbers(operator.mul, operator.mul),
    "/": _numbers(_quotient, _divide),
    "%": _numbers(_remainder, None),
}

_COMPARE: dict[str, Operator] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_COMPARABLE = frozenset({"int", "uint", "double", "string", "bytes", "bool", _TIME, _SPAN})


def arithmetic(symbol: str) -> Callable[[Frame, Any, Any], Any]:
    """The operator as a function.  Concatenation spends steps by the length of the result."""
    table = ARITHMETIC[symbol]

    def apply(frame: Frame, left: Any, right: Any) -> Any:
        kind = type_name(left)
        found = table.get((kind, type_name(right)))
        if found is None:
            raise wrong_type()
        if kind in ("string", "bytes"):
            spend(frame, (len(left) + len(right)) >> 4)
        elif kind == "list":
            spend(frame, len(left) + len(right))
        return found(left, right)

    return apply


def comparison(symbol: str) -> Callable[[Any, Any], bool]:
    compare = _COMPARE[symbol]

    def apply(left: Any, right: Any) -> bool:
        kind, other = type_name(left), type_name(right)
        if kind == other and kind in _COMPARABLE:
            return bool(compare(left, right))
        if kind in NUMERIC and other in NUMERIC:
            return bool(compare(to_comparable(left), to_comparable(right)))
        raise wrong_type()

    return apply


def negate(value: Any) -> Any:
    """Unary minus.  Raises EvaluationError."""
    kind = type_name(value)
    if kind == "int":
        return check_int(-value)
    if kind == "double":
        return -value
    raise wrong_type()


def index(container: Any, key: Any) -> Any:
    """`container[key]`.  A position in a list may be a whole double (langdef.md#index), and must not be negative.

    Raises EvaluationError.
    """
    kind = type_name(container)
    if kind == "map":
        if is_key(key) and key in container:
            return container[key]
        raise EvaluationError("missing_key", "a map has no such key")
    if kind != "list" or type_name(key) not in NUMERIC:
        raise wrong_type()
    # Not a number, infinite, or not whole.
    if key != key or key in (math.inf, -math.inf) or key != int(key):
        raise wrong_type()
    if not 0 <= key < len(container):
        raise EvaluationError("value", "index out of range")
    return container[int(key)]
