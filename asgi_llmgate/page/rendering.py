"""Renders the page: prepares charts and tables for templates/.  Jinja2 escapes every value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2

from asgi_llmgate.page import formatting
from asgi_llmgate.page.charts import Chart, lines, stacked
from asgi_llmgate.page.filters import SPANS, Query
from asgi_llmgate.page.queries import Overview
from asgi_llmgate.page.sums import Ranked, Times
from asgi_llmgate.usage.ledger.report import format_time
from asgi_llmgate.usage.ledger.schema import NANO

_TEMPLATES = Path(__file__).parent / "templates"

MAX_ROWS = 8
"""Rows of a breakdown; the number of the others is shown below."""

_FILTERS = {"user": "User", "model": "Model", "outcome": "Outcome", "reason": "Reason"}
"""Dimension -> label of its filter."""

_ALWAYS = ("user", "model")
"""Breakdowns that are shown even if they have only one row."""

_MAX_CHOICES = 200
"""Options of a filter."""


class Renderer:
    """Renders the two pages; keeps the compiled templates."""

    def __init__(self) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            # A misspelled name in a template is an error and not an empty text.
            undefined=jinja2.StrictUndefined,
            auto_reload=False,
        )
        self._templates.filters |= {
            "count": formatting.count,
            "dollars": formatting.dollars,
            "milliseconds": formatting.milliseconds,
            "clock": format_time,
        }
        self._page = self._templates.get_template("page.html")
        self._unavailable = self._templates.get_template("unavailable.html")
        self.style = (_TEMPLATES / "style.css").read_bytes()

    def page(self, overview: Overview, root: str, now: float) -> bytes:
        """The page as HTML.  `root`: the path that it is mounted at.  `now`: Unix seconds."""
        query = overview.query
        span = SPANS[query.span]
        total = overview.total
        # A breakdown of one row says no more than the totals.
        shown = [name for name, rows in overview.groups.items() if name in _ALWAYS or len(rows) > 1]
        return self._page.render(
            root=root,
            query=query,
            span=span,
            spans=SPANS,
            total=total,
            refused=formatting.share(total.refused, total.requests),
            failed=formatting.share(total.failed, total.requests),
            duration=overview.duration,
            first_token=overview.first_token,
            sampled=overview.sampled,
            charts=_charts(overview, span.form),
            breakdowns=[_breakdown(name, overview.groups[name]) for name in shown],
            tools=_breakdown("tool", overview.tools),
            calling=formatting.share(total.calling, total.requests),
            reasons=overview.reasons,
            most_refused=max((number for _, number in overview.reasons), default=1),
            filters=list(_filters(query, overview.choices)),
            calls=[_call(row) for row in overview.calls],
            fields=[name for name in shown if name not in _FILTERS],
            older=overview.older,
            flagged=overview.flagged,
            flagged_calls=[{**call, "fields": _texts(call["fields"])} for call in overview.flagged.calls],
            now=int(now * 1000),
        ).encode("utf-8", "replace")  # a lone surrogate in a claim cannot be encoded

    def unavailable(self, root: str) -> bytes:
        """The page that is shown while the database does not work."""
        return self._unavailable.render(root=root).encode()


def _charts(overview: Overview, form: str) -> list[Chart]:
    labels = [format_time(start * 1000, form) for start in overview.starts]
    bars = overview.bars
    return [
        stacked(
            "Requests",
            ("ok", "refused", "failed"),
            [(each.requests - each.refused - each.failed, each.refused, each.failed) for each in bars],
            labels,
            formatting.count,
        ),
        stacked(
            "Tokens",
            ("input", "cached input", "output"),
            # A server may report more cached tokens than input tokens.
            [(max(0, each.input - each.cached), each.cached, each.output) for each in bars],
            labels,
            formatting.count,
        ),
        stacked("Cost", ("US dollars",), [(each.cost or 0.0,) for each in bars], labels, formatting.dollars),
        _times_chart("Time to first token", overview.first_tokens, labels),
        _times_chart("Duration", overview.durations, labels),
    ]


def _times_chart(title: str, times: Iterable[Times], labels: list[str]) -> Chart:
    rows = [(each.median, each.percentile_95) for each in times]
    return lines(title, ("median", "95th percentile"), rows, labels, formatting.milliseconds)


def _breakdown(name: str, rows: Ranked) -> dict[str, Any]:
    most = max((sums.requests for _, sums in rows), default=1)
    return {
        "name": name,
        "rows": [(value, sums, round(sums.requests / most * 100, 1)) for value, sums in rows[:MAX_ROWS]],
        "rest": len(rows) - MAX_ROWS,
    }


def _filters(query: Query, choices: Mapping[str, list[str]]) -> Iterable[dict[str, Any]]:
    """One select per dimension.  The chosen value is always an option, even if the range has no calls of it."""
    for name in dict.fromkeys([*(n for n in choices if n not in _FILTERS), *_FILTERS, *query.filters]):
        chosen = query.filters.get(name, "")
        values = choices.get(name, [])[:_MAX_CHOICES]
        if values or chosen:
            options = values if not chosen or chosen in values else [chosen, *values]
            yield {"name": name, "label": _FILTERS.get(name, name), "options": options, "chosen": chosen}


def _call(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "cost": None if row["cost_nano"] is None else row["cost_nano"] / NANO,
        "fields": _texts(row["fields"] or {}),
        "kind": {"ok": "good", "refused": "refused"}.get(row["outcome"], "bad"),
        "called": bool(row["request_model"]),
    }


def _texts(fields: Mapping[str, Any]) -> dict[str, str]:
    return {name: ", ".join(value) if isinstance(value, list) else str(value) for name, value in fields.items()}
