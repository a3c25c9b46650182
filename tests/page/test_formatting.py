from __future__ import annotations

import pytest

from asgi_llmgate.page import formatting


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (9999, "9,999"),
        (10_000, "10k"),
        (12_345, "12.3k"),
        (999_900, "1M"),
        (4_560_000, "4.56M"),
        (7.8e9, "7.8G"),
        (2.5e12, "2,500G"),
        (2.5, "2.5"),
    ],
)
def test_counts(value: float, shown: str) -> None:
    assert formatting.count(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "$0"),
        (0.000_01, "<$0.0001"),
        (0.0014, "$0.0014"),
        (0.0412, "$0.041"),
        (0.93, "$0.93"),
        (1234.5, "$1,234.50"),
        (123_456, "$123k"),
    ],
)
def test_dollars(value: float | None, shown: str) -> None:
    assert formatting.dollars(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "0 ms"),
        (1.25, "1.2 ms"),
        (412.4, "412 ms"),
        (999.7, "1 s"),
        (1240, "1.24 s"),
        (125_000, "2 min 5 s"),
    ],
)
def test_milliseconds(value: float | None, shown: str) -> None:
    assert formatting.milliseconds(value) == shown


@pytest.mark.parametrize(("part", "whole", "shown"), [(0, 0, "0%"), (0, 9, "0%"), (1, 30, "3.3%"), (1, 3, "33%")])
def test_shares(part: float, whole: float, shown: str) -> None:
    assert formatting.share(part, whole) == shown
