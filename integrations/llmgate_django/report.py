"""Sums over the usage records, for the admin's chart and `manage.py llmgate_usage`."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce, TruncDay, TruncHour

from asgi_llmgate import SettingsError
from llmgate_django.models import UsageRecord

GROUPS: Mapping[str, Any] = {
    "user": F("subject"),
    "model": F("request_model"),
    "asked": F("client_model"),
    "provider": F("provider"),
    "backend": F("backend"),
    "outcome": F("outcome"),
    "reason": F("reason"),
    "rule": F("policy_rule"),
    "issuer": F("issuer"),
    "client": F("user_agent"),
    "day": TruncDay("time"),
    "hour": TruncHour("time"),
}
"""Name of a group -> the expression to group by."""

MEASURES: Mapping[str, Any] = {
    "requests": Count("id"),
    "failed": Count("id", filter=~Q(outcome="ok")),
    "input_tokens": Coalesce(Sum("input_tokens"), 0),
    "output_tokens": Coalesce(Sum("output_tokens"), 0),
    "cached_tokens": Coalesce(Sum("cache_read_tokens"), 0),
    "cost_usd": Sum("cost_usd"),
}
"""Name of a sum -> its expression.  `failed` counts outcomes other than `ok`, so refusals too; `cost_usd` is None if no
cost is known."""

# Groups that are times, and how their start is shown.
_TIMES = {"day": "%Y-%m-%d", "hour": "%Y-%m-%d %H:00"}


def summarise(records: QuerySet[UsageRecord], by: Sequence[str], fields: Collection[str] = ()) -> list[dict[str, Any]]:
    """One row per combination of `by`, sorted by time, then by number of requests; times are texts.

    `by` contains names in GROUPS and names in `fields` (`usage.fields`).  Raises SettingsError for other names.
    """
    # Prefixes, because a field may have the name of a sum.
    groups = {f"by_{index}": _group(name, fields) for index, name in enumerate(by)}
    measures = {f"sum_{name}": measure for name, measure in MEASURES.items()}
    found = records.order_by().annotate(**groups).values(*groups).annotate(**measures).values(*groups, *measures)
    rows = []
    for line in found:
        groups_of_row = {name: _format_group(name, line[f"by_{index}"]) for index, name in enumerate(by)}
        rows.append(groups_of_row | {name: line[f"sum_{name}"] for name in MEASURES})
    times = [name for name in by if name in _TIMES]
    return sorted(rows, key=lambda each: (*(each[name] for name in times), -each["requests"]))


def as_csv(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """A CSV file.  A text that a spreadsheet would run as a formula gets an apostrophe in front:

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # the writer quotes a lone CR only then
    writer.writerow(header)
    writer.writerows([_safe_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _group(name: str, fields: Collection[str]) -> Any:
    if name in GROUPS:
        return GROUPS[name]
    if name in fields:
        return KeyTextTransform(name, "fields")
    near = difflib.get_close_matches(name, [*GROUPS, *fields], n=1)
    hint = f"did you mean {near[0]}?" if near else "one of " + ", ".join([*GROUPS, *fields])
    raise SettingsError(f"cannot group by {name!r}", hint=hint)


def _format_group(name: str, value: Any) -> str:
    if name in _TIMES:
        return f"{value:{_TIMES[name]}}"
    return "" if value is None else str(value)


_FORMULA = re.compile(
    r"((?:\A|[;\t\r\n])"  # other locales separate cells by a semicolon or a tab
    r"[\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]*)"
    r"([=+\-@\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20])"
)
"""A character that begins a formula (also in its full-width forms), after blanks and invisible characters."""


def _safe_cell(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        value = json.dumps(value) if value else ""
    if not isinstance(value, str):
        return value
    safe = _FORMULA.sub(r"\1'\2", value)
    return f"'{safe}" if safe.startswith(("\t", "\r", "\n")) else safe
