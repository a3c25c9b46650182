from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llmgate.protocol.servers.errors.retry_after import parse_seconds, seconds_to_wait

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
NOON = 1792567680.0  # that date, in Unix seconds


@pytest.mark.parametrize(
    ("headers", "text", "seconds"),
    [
        ({"retry-after": "7"}, "", 7.0),
        ({"retry-after": "0.5"}, "", 0.5),
        ({"retry-after-ms": "1500", "retry-after": "7"}, "", 1.5),
        ({"retry-after": DATE}, "", 30.0),
        ({"x-ratelimit-reset-requests": "120ms", "x-ratelimit-reset-tokens": "6m0s"}, "", 360.0),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1.5s",
                "x-ratelimit-remaining-tokens": "9",
                "x-ratelimit-reset-tokens": "1h0m0s",
            },
            "",
            1.5,
        ),
        ({"x-ratelimit-reset-tokens": "10"}, "", 10.0),
        ({"x-ratelimit-reset-tokens": "soon"}, "", None),
        ({}, "Please try again in 1.2s.", 1.2),
        ({}, "Please retry after 10 seconds.", 10.0),
        ({}, "try again in 6m30s", 390.0),
        ({}, "try again later", None),
        ({"retry-after": "whenever"}, "", None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], text: str, seconds: float | None) -> None:
    assert seconds_to_wait(headers, text, now=NOON - 30) == seconds


def test_a_date_needs_a_clock() -> None:
    assert seconds_to_wait({"retry-after": DATE}) is None


def test_a_date_in_the_past_is_now() -> None:
    assert seconds_to_wait({"retry-after": DATE}, now=NOON + 30) == 0


@pytest.mark.parametrize(
    ("text", "seconds"), [("2m59.56s", 179.56), ("1h", 3600.0), ("250ms", 0.25), ("9", 9.0), ("", None), ("1d", None)]
)
def test_gos_durations(text: str, seconds: float | None) -> None:
    assert parse_seconds(text) == (seconds if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("value", ["9" * 400, "9" * 400 + "s", "Wed, 21 Oct 99999 07:28:00 GMT"])
def test_an_absurd_wait_is_none(value: str) -> None:
    assert seconds_to_wait({"retry-after": value}, now=0) is None


@given(st.text(max_size=30))
def test_any_header_is_read_without_an_accident(value: str) -> None:
    waited = seconds_to_wait({"retry-after": value, "x-ratelimit-reset-tokens": value}, value, now=0)
    assert waited is None or waited >= 0
