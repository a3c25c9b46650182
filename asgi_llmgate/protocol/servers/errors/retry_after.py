"""How long to wait before a retry, in each way in which servers state it.

`retry-after` is RFC 9110 section 10.2.3, and `retry-after-ms` OpenAI's finer form of it.  `x-ratelimit-reset-*` are
OpenAI's and Groq's headers for when each limit is available again, as durations of Go (`6m0s`, `120ms`); Azure and
Cerebras send plain seconds there.  `x-ratelimit-reset` is a Unix time at GitHub, in milliseconds at OpenRouter.  Many
servers state the wait in the error text, and some only there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from email.utils import mktime_tz, parsedate_tz

MAX_WAIT = 30 * 86400.0
"""Seconds.  A longer wait is one of an account that nobody uses any more, or a number that was read wrongly."""

_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?\Z")
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:h|ms|m|s))+\Z")
_UNIT = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_IN_TEXT = re.compile(
    r"\b(?:try(?:ing)?(?: again)?|retry(?:ing)?(?: your request)?|wait(?:ing)?|resets?|available)"
    r"(?: again)?(?: in| after| for| at least)? (?:about |approximately )?"
    r"(?P<go>(?:\d{1,9}(?:\.\d{1,9})?(?:h|ms|m|s)\b|\d{1,9}(?:h|m)(?=\d))++"
    r"|(?P<number>\d{1,9}(?:\.\d{1,9})?) ?(?P<unit>milliseconds?|ms|seconds?|secs?|minutes?|mins?|hours?|days?)\b)",
    re.IGNORECASE,
)
_RESET = "x-ratelimit-reset-"
_REMAINING = "x-ratelimit-remaining-"
_FIRST_TIME = 1_000_000_000
"""A larger number is no duration but a Unix time."""


def seconds_to_wait(
    headers: Mapping[str, str], text: str = "", *, now: float | None = None, limited: bool = True
) -> float | None:
    """Seconds, at most MAX_WAIT, or None where nothing is stated.

    `headers` have lower-case names; `text` is the error's message.  A date and a Unix time are read only with `now`
    (Unix seconds).  `limited`: the error is about a limit, so `x-ratelimit-*` are about it; many servers send them with
    every response.  Of several `x-ratelimit-reset-*` the longest counts, among those whose limit is used up if there
    are any.
    """
    wait = _stated_wait(headers, now)
    if wait is None:
        wait = _find_wait(text)
    if wait is None and limited:
        wait = _wait_for_limits(headers, now)
    return None if wait is None else min(wait, MAX_WAIT)


def parse_seconds(text: str) -> float | None:
    """Seconds of a plain number or of a duration of Go (`1h2m3.5s`); None for anything else."""
    text = text.strip()
    if _DURATION.match(text):
        return sum(float(number) * _SECONDS[unit] for number, unit in _UNIT.findall(text))
    return float(text) if _NUMBER.match(text) else None


def _stated_wait(headers: Mapping[str, str], now: float | None) -> float | None:
    if (milliseconds := parse_seconds(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    after = headers.get("retry-after", "")
    if (seconds := parse_seconds(after)) is not None:
        return seconds
    if now is not None and (date := _parse_date(after)) is not None:
        return max(0.0, date - now)
    return None


def _find_wait(text: str) -> float | None:
    """`try again in 6m0s`, `Please retry after 26 seconds`, `wait 71 minutes`."""
    found = _IN_TEXT.search(text)
    if found is None:
        return None
    if found["number"] is None:
        return parse_seconds(found["go"].lower())
    unit = found["unit"].lower()
    return float(found["number"]) * _SECONDS["ms" if unit.startswith(("ms", "milli")) else unit[0]]


def _wait_for_limits(headers: Mapping[str, str], now: float | None) -> float | None:
    resets = dict(_resets(headers))
    used_up = [wait for limit, wait in resets.items() if headers.get(_REMAINING + limit) == "0"]
    if resets:
        return max(used_up or resets.values())
    reset = headers.get("x-ratelimit-reset", "").strip()
    if not (reset.isascii() and reset.isdigit() and len(reset) <= 13):
        return parse_seconds(reset)
    time = int(reset)
    if time < _FIRST_TIME:
        return float(time)
    seconds = time / 1000 if time >= 1000 * _FIRST_TIME else float(time)
    return None if now is None else max(0.0, seconds - now)


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
