"""Geometry: what is drawn is what the numbers say, and stays within the picture."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llmgate.page.charts import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, lines, stacked

amounts = st.floats(min_value=0, max_value=1e12, allow_nan=False)


def test_bars_are_stacked_and_as_high_as_their_values() -> None:
    chart = stacked("t", ("a", "b"), [(30, 10), (0, 20)], ["x", "y"], str)
    first, second, third = chart.bars
    assert first.height == pytest.approx(3 * second.height, abs=0.05)
    assert second.y + second.height == pytest.approx(first.y, abs=0.05)
    assert third.height == pytest.approx(2 * second.height, abs=0.05)
    assert first.y + first.height == pytest.approx(HEIGHT - BOTTOM)
    assert [tick.label for tick in chart.up] == ["0.0", "20.0", "40.0"]
    assert [column.values for column in chart.columns] == [("30", "10"), ("0", "20")]


def test_a_line_has_gaps_where_nothing_is_known_and_a_dot_for_a_lone_moment() -> None:
    chart = lines("t", ("a",), [(1.0,), (2.0,), (None,), (3.0,), (None,)], list("abcde"), str)
    assert chart.paths[0].count("M") == 1
    assert chart.paths[0].count("L") == 1
    assert len(chart.dots) == 1
    assert chart.columns[2].values == ("none",)


def test_nothing_is_empty_and_has_a_scale_all_the_same() -> None:
    assert stacked("t", ("a",), [(0,), (0,)], ["x", "y"], str).empty
    assert lines("t", ("a",), [], [], str).empty


@given(st.lists(st.tuples(amounts, amounts, amounts), min_size=1, max_size=60))
def test_bars_stay_within_the_picture(rows: list[tuple[float, float, float]]) -> None:
    chart = stacked("t", ("a", "b", "c"), rows, [str(n) for n in range(len(rows))], str)
    for bar in chart.bars:
        assert bar.x >= LEFT
        assert bar.x + bar.width <= WIDTH
        assert bar.y >= TOP - 1
        assert bar.y + bar.height <= HEIGHT - BOTTOM + 1
    assert len(chart.across) <= 4
    assert 1 <= len(chart.up) <= 5


@given(st.lists(st.tuples(st.none() | amounts), min_size=1, max_size=60))
def test_lines_stay_within_the_picture(rows: list[tuple[float | None]]) -> None:
    chart = lines("t", ("a",), rows, [str(n) for n in range(len(rows))], str)
    drawn = [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", chart.paths[0])]
    for x, y in [*drawn, *((x, y) for x, y, _ in chart.dots)]:
        assert LEFT <= x <= WIDTH
        assert TOP - 1 <= y <= HEIGHT - BOTTOM + 1
