"""How long to wait before a retry, in each way in which servers state it.

`retry-after` is RFC 9110 section 10.2.3, and `retry-after-ms` OpenAI's finer form of it.  `x-ratelimit-reset-*` are
OpenAI's and Groq's headers for when each limit is available again, as durations of Go (`6m0s`, `120ms`); Azure sends
plain seconds there.  Some servers state it in the error text only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from email.utils import mktime_tz, parsedate_tz

_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?\Z")
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:h|ms|m|s))+\Z")
_UNIT = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_IN_TEXT = re.compile(
    r"(?:try again in|retry (?:after|in)) ((?:\d+(?:\.\d+)?(?:h|ms|m|s))+|\d+(?= seconds))", re.IGNORECASE
)
_RESET = "x-ratelimit-reset-"
_REMAINING = "x-ratelimit-remaining-"


def seconds_to_wait(headers: Mapping[str, str], text: str = "", *, now: float | None = None) -> float | None:
    """Seconds, or None where nothing is stated.

    `headers` have lower-case names; `text` is the error's message.  An HTTP date is read only with `now` (Unix
    seconds).  Of several `x-ratelimit-reset-*` the longest counts, among those whose limit is used up if there are any.
    """
    if (milliseconds := parse_seconds(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    after = headers.get("retry-after", "")
    if (seconds := parse_seconds(after)) is not None:
        return seconds
    if now is not None and (date := _parse_date(after)) is not None:
        return max(0.0, date - now)
    resets = dict(_resets(headers))
    used_up = [wait for limit, wait in resets.items() if headers.get(_REMAINING + limit) == "0"]
    if resets:
        return max(used_up or resets.values())
    found = _IN_TEXT.search(text)
    return parse_seconds(found[1]) if found else None


def parse_seconds(text: str) -> float | None:
    """Seconds of a plain number or of a duration of Go (`1h2m3.5s`); None for anything else."""
    text = text.strip()
    if _DURATION.match(text):
        return sum(float(number) * _SECONDS[unit] for number, unit in _UNIT.findall(text))
    return float(text) if _NUMBER.match(text) else None


def _parse_date(text: str) -> float | None:
    """Unix seconds of an HTTP date (RFC 9110 section 5.6.7); None for anything else."""
    try:
        parsed = parsedate_tz(text)
        return None if parsed is None else float(mktime_tz(parsed))
    except (ValueError, OverflowError):
        return None


def _resets(headers: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    """The name of each limit (`requests`, `tokens`) and the seconds until it is available again."""
    for name, value in headers.items():
        if name.startswith(_RESET) and (wait := parse_seconds(value)) is not None:
            yield name.removeprefix(_RESET), wait
