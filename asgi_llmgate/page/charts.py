"""Geometry of the charts: from numbers to the rectangles, lines and ticks of an SVG.  Pure; the template draws.

A chart is 400 by 170 units, which is close to its size in pixels on a phone and in a third of a desktop's width: its
11-unit text is 11 pixels on both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 400, 170
LEFT, RIGHT, TOP, BOTTOM = 44, 4, 8, 20
_GAP = 0.18
_NOTHING = 1e-12


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    series: int


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Column:
    """What a pointer over one place of the time axis is told, and one row of the chart's table."""

    x: float
    width: float
    label: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """`names` are those of the series, in the order of `Bar.series` and of the paths."""

    title: str
    names: tuple[str, ...]
    bars: tuple[Bar, ...]
    paths: tuple[str, ...]
    dots: tuple[tuple[float, float, int], ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    columns: tuple[Column, ...]
    empty: bool


Show = Callable[[float], str]


def stacked(
    title: str, names: Sequence[str], rows: Sequence[Sequence[float]], labels: Sequence[str], show: Show
) -> Chart:
    """Bars: one row of values per moment, stacked in the order of `names`."""
    top, up = _scale(max((sum(row) for row in rows), default=0.0), show)
    step = (WIDTH - LEFT - RIGHT) / max(1, len(rows))
    bars = []
    for index, row in enumerate(rows):
        below = 0.0
        for series, value in enumerate(row):
            if value > 0:
                low, high = _y(below, top), _y(below + value, top)
                x = LEFT + (index + _GAP / 2) * step
                bars.append(Bar(_r(x), _r(high), _r(step * (1 - _GAP)), _r(max(low - high, 0.75)), series))
            below += value
    return _chart(title, names, rows, labels, show, up, bars=bars)


def lines(
    title: str, names: Sequence[str], rows: Sequence[Sequence[float | None]], labels: Sequence[str], show: Show
) -> Chart:
    """Lines: one row of values per moment, None where there is none; a moment between two such is a dot."""
    top, up = _scale(max((value for row in rows for value in row if value is not None), default=0.0), show)
    step = (WIDTH - LEFT - RIGHT) / max(1, len(rows))
    paths, dots = [], []
    for series in range(len(names)):
        parts: list[list[tuple[float, float]]] = [[]]
        for index, row in enumerate(rows):
            value = row[series]
            if value is None:
                parts.append([])
            else:
                parts[-1].append((_r(LEFT + (index + 0.5) * step), _r(_y(value, top))))
        paths.append(" ".join("M" + " L".join(f"{x} {y}" for x, y in part) for part in parts if len(part) > 1))
        dots += [(*part[0], series) for part in parts if len(part) == 1]
    return _chart(title, names, rows, labels, show, up, paths=paths, dots=dots)


def _chart(
    title: str,
    names: Sequence[str],
    rows: Sequence[Sequence[float | None]],
    labels: Sequence[str],
    show: Show,
    up: list[Tick],
    *,
    bars: Sequence[Bar] = (),
    paths: Sequence[str] = (),
    dots: Sequence[tuple[float, float, int]] = (),
) -> Chart:
    step = (WIDTH - LEFT - RIGHT) / max(1, len(rows))
    columns = tuple(
        Column(
            _r(LEFT + index * step),
            _r(step),
            label,
            tuple("none" if value is None else show(value) for value in row),
        )
        for index, (row, label) in enumerate(zip(rows, labels, strict=True))
    )
    empty = not any(value for row in rows for value in row)
    return Chart(
        title, tuple(names), tuple(bars), tuple(paths), tuple(dots), _across(labels, step), tuple(up), columns, empty
    )


def _across(labels: Sequence[str], step: float) -> tuple[Tick, ...]:
    """At most four labels, the first and the last of them within the picture."""
    every = max(1, math.ceil(len(labels) / 4))
    return tuple(
        Tick(_r(LEFT + (index + 0.5) * step), labels[index]) for index in range(every // 2, len(labels), every)
    )


def _scale(largest: float, show: Show) -> tuple[float, list[Tick]]:
    """The value at the top, and ticks at round numbers: 1, 2, 2.5 or 5 times a power of ten."""
    if largest < _NOTHING:
        return 1.0, [Tick(_y(0, 1), show(0))]
    rough = largest / 3
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    count = math.ceil(largest / step - 1e-9)
    return step * count, [Tick(_r(_y(step * index, step * count)), show(step * index)) for index in range(count + 1)]


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP)


def _r(value: float) -> float:
    return round(value, 2)
