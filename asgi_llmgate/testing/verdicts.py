"""A strict reader of `safeguard_results`, for tests.

Claude Code denies every tool call of a response whose results have a wrong form, and leaves a server that gives none.
This reader takes exactly what Claude Code takes as a verdict on each call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_RESULTS: dict[tuple[Any, Any], set[str]] = {
    ("evaluated", "not_flagged"): {"type", "outcome"},
    ("evaluated", "flagged"): {"type", "outcome", "explanation"},
    ("unavailable", None): {"type", "reason"},
}
"""Type and outcome -> the members."""


def complaint_about_results(results: Any, ids: Iterable[str]) -> str:
    """What is wrong with the results of a response that has tool calls with these ids; "" for nothing."""
    if not (isinstance(results, list) and len(results) == 1 and isinstance(results[0], dict)):
        return f"not one result: {results!r}"
    (entry,) = results
    status = entry.get("status")
    if set(entry) != {"type", "status"} or entry["type"] != "dangerous_tool_use" or not isinstance(status, dict):
        return f"not a result: {entry!r}"
    by_id = status.get("tool_uses")
    if set(status) != {"type", "tool_uses"} or status["type"] != "available" or not isinstance(by_id, dict):
        return f"not a status: {status!r}"
    if set(by_id) != set(ids):
        return f"results for {sorted(by_id)} and calls {sorted(ids)}"
    return next((f"not a verdict: {each!r}" for each in by_id.values() if not _is_verdict(each)), "")


def _is_verdict(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != _RESULTS.get((value.get("type"), value.get("outcome"))):
        return False
    texts = [value[name] for name in ("explanation", "reason") if name in value]
    return all(isinstance(text, str) and 0 < len(text) <= 300 and not _CONTROLS.search(text) for text in texts)
