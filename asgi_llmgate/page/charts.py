"""The geometry of the charts: from numbers to rectangles, lines and ticks, which the template draws as SVG.  Pure.

A chart is 400 by 170 units.  That is about its size in pixels both on a phone and in a third of a desktop's width, so
that 11 units of text are 11 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 400, 170
LEFT, RIGHT, TOP, BOTTOM = 44, 4, 8, 20
"""Margins around the plot, with room for the labels of the ticks."""

_GAP = 0.18
"""Part of a column's width between two bars."""

_ZERO = 1e-12
"""Largest value that is drawn as zero."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle; `series` is the index of its name."""

    x: float
    y: float
    width: float
    height: float
    series: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A label at a position on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Column:
    """One step of the time axis: the text shown under the pointer, and a row of the chart's table."""

    x: float
    width: float
    label: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that the template draws.

    `names` are the names of the series, in the order of `Bar.series` and of `paths`.  A dot is (x, y, series).
    `across` and `up` are the ticks of the two axes.
    """

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
"""Formats a value."""


def stacked(
    title: str, names: Sequence[str], rows: Sequence[Sequence[float]], labels: Sequence[str], show: Show
) -> Chart:
    """A chart of stacked bars.  `rows`: for each step of time the values in the order of `names`."""
    top, up = _scale(max((sum(row) for row in rows), default=0.0), show)
    step = (WIDTH - LEFT - RIGHT) / max(1, len(rows))
    bars = []
    for index, row in enumerate(rows):
        below = 0.0
        for series, value in enumerate(row):
            if value > 0:
                low, high = _y(below, top), _y(below + value, top)
                x = LEFT + (index + _GAP / 2) * step
                # At least 0.75 units high, or a small value beside a large one could not be seen.
                bars.append(
                    Bar(_round(x), _round(high), _round(step * (1 - _GAP)), _round(max(low - high, 0.75)), series)
                )
            below += value
    return _chart(title, names, rows, labels, show, up, bars=bars)


def lines(
    title: str, names: Sequence[str], rows: Sequence[Sequence[float | None]], labels: Sequence[str], show: Show
) -> Chart:
    """A chart of lines.  `rows` as in `stacked`; None interrupts the line, and a value between two None is a dot."""
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
                parts[-1].append((_round(LEFT + (index + 0.5) * step), _round(_y(value, top))))
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
            _round(LEFT + index * step),
            _round(step),
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
    """At most four labels, none of which is cut off at the sides."""
    every = max(1, math.ceil(len(labels) / 4))
    return tuple(
        Tick(_round(LEFT + (index + 0.5) * step), labels[index]) for index in range(every // 2, len(labels), every)
    )


def _scale(largest: float, show: Show) -> tuple[float, list[Tick]]:
    """The value at the top of the plot, and ticks at round numbers: 1, 2, 2.5 or 5 times a power of ten."""
    if largest < _ZERO:
        return 1.0, [Tick(_y(0, 1), show(0))]
    rough = largest / 3
    power = 10.0 ** math.floor(math.log10(rough))
    # 0.999 and 1e-9 are tolerances for rounding errors.
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    count = math.ceil(largest / step - 1e-9)
    return step * count, [
        Tick(_round(_y(step * index, step * count)), show(step * index)) for index in range(count + 1)
    ]


def _y(value: float, top: float) -> float:
    # In SVG y grows downwards.
    return HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP)


def _round(value: float) -> float:
    # More digits would make the page several times larger.
    return round(value, 2)
