"""Formats numbers for the page and its charts."""

from __future__ import annotations


def count(value: float) -> str:
    """1,234 up to ten thousand, then 12.3k, 4.56M, 7.8G."""
    if value < 10_000:
        return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        # 999,950 would be rounded to 1000k, so it is shown as 1M.
        if value >= size * 0.9995:
            return f"{value / size:.3g}{unit}" if value / size < 999.5 else f"{value / size:,.0f}{unit}"
    return f"{value:,.0f}"


def dollars(value: float | None) -> str:
    """Two decimals from ten cents on, more below, and a dash if the value is None."""
    if value is None:
        return "–"
    if value == 0:
        return "$0"
    if value >= 10_000:
        return "$" + count(value)
    if value >= 0.1:
        return f"${value:,.2f}"
    if value >= 0.0001:
        return f"${value:.3f}" if value >= 0.01 else f"${value:.4f}"
    return "<$0.0001"


def milliseconds(value: float | None) -> str:
    """412 ms, 1.24 s, 2 min 5 s; a dash if the value is None."""
    if value is None:
        return "–"
    if value < 999.5:
        return f"{value:.0f} ms" if value >= 10 or value == 0 else f"{value:.1f} ms"
    if value < 119_500:
        return f"{value / 1000:.3g} s"
    return f"{value // 60_000:.0f} min {value % 60_000 / 1000:.0f} s"


def share(part: float, whole: float) -> str:
    """The part as percentage: 7%, 0.4%; 0% if the whole is 0."""
    if not whole:
        return "0%"
    percent = part / whole * 100
    return f"{percent:.0f}%" if percent >= 10 or percent == 0 else f"{percent:.1f}%"
