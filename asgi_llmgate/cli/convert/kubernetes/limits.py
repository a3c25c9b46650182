"""`rateLimit.local` -> `limits`, `frontend` -> `usage.fields` and `server.body_limit`."""

from __future__ import annotations

import re
from typing import Any

from asgi_llmgate.cli.convert.expressions import convert_expression
from asgi_llmgate.cli.convert.kubernetes.backends import seconds
from asgi_llmgate.cli.convert.manifests import Entry, Manifest
from asgi_llmgate.cli.convert.names import free_name
from asgi_llmgate.cli.convert.notes import Notes
from asgi_llmgate.cli.convert.writer import noted

_UNITS = {"Seconds": "second", "Minutes": "minute", "Hours": "hour"}
_PERIODS = (("second", 1.0), ("minute", 60.0), ("hour", 3600.0), ("day", 86_400.0))
_SIZE = re.compile(r"(\d+)(Ki|Mi|Gi)?")
ALL_CALLERS = '"all"'
"""A key with one value: agentgateway counts all callers together."""


def read_limits(local: Entry, policy: Manifest, scope: str, taken: set[str], notes: Notes) -> list[Any]:
    """The limits of a policy; `taken` are names that are used already."""
    found = []
    for entry in local.each():
        unit = entry.get("unit").text()
        if unit not in _UNITS:
            raise entry.get("unit").error(f"unknown unit {unit!r}", "one of " + ", ".join(_UNITS))
        requests = entry.get("requests").number(0)
        if not requests:
            message = "there are no limits of tokens yet"
            notes.ignore(entry, message, "requests or concurrency, and max_output_tokens of the row")
            continue
        said = [notes.differ(entry, "limits count in each worker process, agentgateway's in each replica")]
        if burst := entry.get("burst"):
            said.append(notes.differ(burst, f"up to {requests} requests may come at once, without a further burst"))
        key, words = _key(entry.get("key"), notes)
        limit = _limit(policy.name, key, f"{requests}/{_UNITS[unit]}", scope, taken)
        notes.carry(entry, "limits")
        found.append(noted(limit, *said, *words))
    return found


def read_bucket(entries: Entry, name: str, scope: str, taken: set[str], notes: Notes) -> list[Any]:
    """`localRateLimit` of a configuration file: so many requests at each interval."""
    found = []
    for entry in entries.each():
        count, interval = entry.get("tokensPerFill").number(1), seconds(entry.get("fillInterval"))
        most = entry.get("maxTokens")
        if entry.get("type").text("requests") != "requests":
            notes.ignore(entry, "there are no limits of tokens yet", "requests or concurrency")
            continue
        unit, period = next(((u, p) for u, p in _PERIODS if p >= interval), _PERIODS[-1])
        requests = max(1, int(count * period / interval)) if interval else count
        said = [notes.differ(entry, "limits count in each worker process, agentgateway's in each replica")]
        if most.number(requests) != requests:
            said.append(notes.differ(most, f"up to {requests} requests may come at once"))
        notes.carry(entry, "limits")
        found.append(noted(_limit(name, ALL_CALLERS, f"{requests}/{unit}", scope, taken), *said))
    return found


def read_fields(attributes: Entry, notes: Notes) -> dict[str, Any]:
    """`accessLog.attributes.add` as further fields of each record."""
    found: dict[str, Any] = {}
    for entry in attributes.get("add").each():
        name, expression = entry.get("name").text(), entry.get("expression")
        converted = convert_expression(expression.text())
        if converted.problem:
            notes.ignore(entry, f"the expression cannot be used here: {converted.problem}")
            continue
        said = [notes.differ(expression, change) for change in converted.changes]
        found[name] = noted(converted.source, *said)
        notes.carry(entry, f"usage.fields.{name}")
    return found


def read_body_limit(size: Entry, notes: Notes) -> str:
    """`maxBufferSize` as `server.body_limit`."""
    parts = _SIZE.fullmatch(size.text())
    if parts is None:
        raise size.error("must be a size such as 20Mi")
    notes.carry(size, "server.body_limit")
    return f"{parts[1]}{parts[2]}B" if parts[2] else f"{parts[1]}B"


def _key(entry: Entry, notes: Notes) -> tuple[str, list[str]]:
    if not entry:
        return ALL_CALLERS, []
    converted = convert_expression(entry.text())
    if converted.problem:
        return ALL_CALLERS, [notes.ignore(entry, f"the key cannot be used here: {converted.problem}")]
    return converted.source, [notes.differ(entry, change) for change in converted.changes]


def _limit(name: str, key: str, requests: str, scope: str, taken: set[str]) -> dict[str, Any]:
    """A limit as the settings have it, under a name that is not taken and now is."""
    chosen = free_name(name, taken)
    taken.add(chosen)
    return {"name": chosen, "key": key, "requests": requests, **({"when": scope} if scope else {})}
