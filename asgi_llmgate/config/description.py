"""What the settings mean, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from asgi_llmgate.config.schema import Model, Settings, read_settings
from asgi_llmgate.errors import NotFound
from asgi_llmgate.net.urls import redact_url
from asgi_llmgate.routing import ModelRow, ModelTable


def describe(settings: Settings | Mapping[str, Any], names: Iterable[str] = ()) -> Iterator[str]:
    """What the settings mean, line by line: who may call, and which model server each model name leads to.

    `names` are looked up as well.  Raises SettingsError.
    """
    if not isinstance(settings, Settings):
        settings = read_settings(settings)
    yield f"callers: {_callers(settings)}"
    yield "models, the first row that fits wins:"
    for row in settings.models:
        yield f"  {row.match} -> {_answers(settings, row)}"
    for name in names:
        fitting = _fitting(settings, name)
        yield f"{name}: " + ("; else ".join(fitting) if fitting else "no row fits: 404")


def _callers(settings: Settings) -> str:
    if settings.auth.mode == "off":
        return "anybody (auth.mode: off)"
    issuers = [redact_url(name) for each in settings.auth.providers for name in (each.issuer, *each.issuers) if name]
    return f"{settings.auth.mode}, tokens of {', '.join(issuers) or 'nobody'}; rules: {len(settings.policy.rules)}"


def _uses(row: Model) -> tuple[str, ...]:
    return (row.use,) if isinstance(row.use, str) else row.use


def _answers(settings: Settings, row: Model, asked: str = "the asked name") -> str:
    where = []
    for use in _uses(row):
        backend, _, model = use.partition("/")
        where.append(f"{model or asked} at {backend} ({redact_url(settings.backends[backend].base_url)})")
    limit = f", at most {row.max_output_tokens} tokens out" if row.max_output_tokens else ""
    return ", then ".join(where) + limit + (f", when {row.when}" if row.when else "")


def _fitting(settings: Settings, name: str) -> list[str]:
    """What may answer a name: the rows with a condition that come before the first without one, and that one."""
    found = []
    for row in settings.models:
        try:
            ModelTable([ModelRow(row.match, _uses(row))], dict.fromkeys(settings.backends, "")).resolve(name)
        except NotFound:
            continue
        found.append(_answers(settings, row, name))
        if row.when is None:
            break
    return found
