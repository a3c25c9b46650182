"""Conversions between types: `int("7")`, `string(1.5)`, `timestamp("2026-01-01T00:00:00Z")`.

langdef.md#type-conversions.  Other types than those that the specification lists, and values out of range, are an
EvaluationError.
"""

from __future__ import annotations

import math
import re
from typing import Any

from asgi_llmgate.cel.errors import EvaluationError, wrong_type
from asgi_llmgate.cel.runtime import times
from asgi_llmgate.cel.runtime.operators import check_int, check_uint
from asgi_llmgate.cel.runtime.values import Duration, Frame, Timestamp, Uint, spend, type_name

_FALSE = frozenset({"0", "f", "false", "FALSE", "False"})
_TRUE = frozenset({"1", "t", "true", "TRUE", "True"})
# The lengths are bounded, because int() and float() take longer for longer texts.
_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_DOUBLE = re.compile(
    r"[+-]?(?:(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,5})?|inf|Inf|NaN|Infinity)", re.ASCII
)


def string_argument(frame: Frame, value: Any) -> str:
    """An argument that must be a string; spends steps by its length.  Raises EvaluationError."""
    if type(value) is not str:
        raise wrong_type()
    spend(frame, len(value) >> 4)
    return value


def to_int(frame: Frame, value: Any) -> int:
    match type_name(value):
        case "int" | "uint":
            return check_int(int(value))
        case "double" if math.isfinite(value) and abs(value) < 2**63:
            return check_int(int(value))
        case "string" if _INTEGER.fullmatch(value):
            return check_int(int(value))
        case "google.protobuf.Timestamp":
            return int(value.nanos // times.SECOND)
    raise EvaluationError("value", "cannot be converted to int")


def to_uint(frame: Frame, value: Any) -> Uint:
    match type_name(value):
        case "int" | "uint":
            return check_uint(int(value))
        case "double" if math.isfinite(value) and value > -1:
            return check_uint(int(value))
        case "string" if _INTEGER.fullmatch(value) and value[0] not in "+-":
            return check_uint(int(value))
    raise EvaluationError("value", "cannot be converted to uint")


def to_double(frame: Frame, value: Any) -> float:
    match type_name(value):
        case "int" | "uint" | "double":
            return float(value)
        case "string" if _DOUBLE.fullmatch(value):
            return float(value)
    raise EvaluationError("value", "cannot be converted to double")


def to_string(frame: Frame, value: Any) -> str:
    match type_name(value):
        case "string":
            return str(value)
        case "int" | "uint":
            return str(int(value))
        case "double":
            return repr(value).removesuffix(".0")
        case "bool":
            return "true" if value else "false"
        case "bytes":
            spend(frame, len(value) >> 4)
            try:
                return bytes(value).decode()
            except UnicodeDecodeError:
                pass
        case "google.protobuf.Timestamp":
            return times.format_timestamp(value)
        case "google.protobuf.Duration":
            return times.format_duration(value)
    raise EvaluationError("value", "cannot be converted to string")


def to_bytes(frame: Frame, value: Any) -> bytes:
    return value if type(value) is bytes else string_argument(frame, value).encode()


def to_bool(frame: Frame, value: Any) -> bool:
    if type(value) is bool:
        return value
    if type(value) is str and (value in _TRUE or value in _FALSE):
        return value in _TRUE
    raise EvaluationError("value", "cannot be converted to bool")


def to_timestamp(frame: Frame, value: Any) -> Timestamp:
    match type_name(value):
        case "google.protobuf.Timestamp":
            return value  # type: ignore[no-any-return]
        case "int":
            return times.make_timestamp(value * times.SECOND)
        case "string":
            return times.parse_timestamp(value)
    raise EvaluationError("value", "cannot be converted to timestamp")


def to_duration(frame: Frame, value: Any) -> Duration:
    match type_name(value):
        case "google.protobuf.Duration":
            return value  # type: ignore[no-any-return]
        case "string":
            return times.parse_duration(value)
    raise EvaluationError("value", "cannot be converted to duration")
