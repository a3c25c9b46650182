"""Timestamps (RFC 3339) and durations (Go's format), in nanoseconds.  Both are parsed in linear time."""
# cel-python's `duration()` needs 4.6 seconds for 26 characters that are no duration (cloud-custodian/cel-python#147).

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from fractions import Fraction

from asgi_llmgate.cel.errors import EvaluationError
from asgi_llmgate.cel.runtime.values import MAX_INT, MIN_INT, Duration, Timestamp

SECOND = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Of the years 1 and 9999.
_MIN_SECONDS, _MAX_SECONDS = -62_135_596_800, 253_402_300_799
_UNITS = {"h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 10**6, "us": 1000, "µs": 1000, "ns": 1}
_MAX_LENGTH = 64
"""Characters of a timestamp or a duration."""

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|h|m|s)", re.ASCII)
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)


def make_timestamp(nanos: int) -> Timestamp:
    """A timestamp.  Raises EvaluationError when it is out of range."""
    if not _MIN_SECONDS <= nanos // SECOND <= _MAX_SECONDS:
        raise EvaluationError("value", "timestamp out of range")
    return Timestamp(nanos)


def make_duration(nanos: int) -> Duration:
    """A duration.  Raises EvaluationError when it is out of range."""
    if not MIN_INT <= nanos <= MAX_INT:
        raise EvaluationError("value", "duration out of range")
    return Duration(nanos)


def parse_timestamp(text: str) -> Timestamp:
    """Parse RFC 3339, such as `2026-01-01T00:00:00.5+01:00`.  Raises EvaluationError."""
    found = _RFC3339.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if found is None:
        raise EvaluationError("value", "not an RFC 3339 timestamp")
    date, clock, fraction, sign, hours, minutes = found.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}+00:00")
    except ValueError:
        raise EvaluationError("value", "not an RFC 3339 timestamp") from None
    offset = (int(hours) * 3600 + int(minutes) * 60) * (-1 if sign == "-" else 1) if sign else 0
    return make_timestamp((_whole_seconds(moment) - offset) * SECOND + int((fraction or "0").ljust(9, "0")))


def format_timestamp(value: Timestamp) -> str:
    moment = in_zone(value, UTC)
    return f"{moment.replace(tzinfo=None).isoformat()}{_fraction(value.nanos % SECOND)}Z"


def parse_duration(text: str) -> Duration:
    """Parse `1h30m`, `-1.5s`, `0` (https://pkg.go.dev/time#ParseDuration).  Raises EvaluationError."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text[1:] if text[:1] == "+" else text)
    if rest == "0":
        return Duration(0)
    total, position = 0, 0
    while 0 < len(text) <= _MAX_LENGTH and (part := _PART.match(rest, position)):
        total += int(Fraction(part[1] if part[1][-1] != "." else part[1] + "0") * _UNITS[part[2]])
        position = part.end()
    if position == 0 or position != len(rest):
        raise EvaluationError("value", "not a duration")
    return make_duration(sign * total)


def format_duration(value: Duration) -> str:
    """The duration in seconds, such as `90s` or `0.5s` (protobuf's JSON format)."""
    seconds, nanos = divmod(abs(value.nanos), SECOND)
    return f"{'-' if value.nanos < 0 else ''}{seconds}{_fraction(nanos)}s"


def in_zone(value: Timestamp, zone: tzinfo) -> datetime:
    """The local date and time in the zone, without fractions of a second.  Raises EvaluationError."""
    try:
        return (_EPOCH + timedelta(seconds=value.nanos // SECOND)).astimezone(zone)
    except OverflowError:
        raise EvaluationError("value", "timestamp out of range") from None


def parse_zone(name: str) -> tzinfo:
    """An IANA name (`Europe/Berlin`) or an offset (`+02:00`).  Raises ValueError."""
    found = _OFFSET.fullmatch(name)
    if found is None:
        from zoneinfo import ZoneInfo  # takes 5 ms, and few rules name a zone: those are compiled at the start

        try:
            return ZoneInfo(name)
        except (KeyError, OSError):
            raise ValueError(f"unknown time zone {name!r}") from None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(-offset if found[1] == "-" else offset)


def _whole_seconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(seconds=1)


def _fraction(nanos: int) -> str:
    return f".{nanos:09d}".rstrip("0") if nanos else ""
