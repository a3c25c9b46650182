"""What the settings mean, as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from asgi_llmgate.config.schema import Settings, read_settings
from asgi_llmgate.config.sections.models import ModelSettings
from asgi_llmgate.config.sections.safeguards import SafeguardsSettings
from asgi_llmgate.errors import NotFound
from asgi_llmgate.net.urls import redact_url
from asgi_llmgate.routing import ModelRow, ModelTable

_UNDECIDED = {"unsupported": "the client", "pass": "a call passes", "flag": "a call is flagged"}


def describe(settings: Settings | Mapping[str, Any], names: Iterable[str] = ()) -> Iterator[str]:
    """Who may call, which model server each model name leads to, and who decides about tool calls, line by line.

    `names` are looked up as well.  Raises SettingsError.
    """
    if not isinstance(settings, Settings):
        settings = read_settings(settings)
    yield f"callers: {_callers(settings)}"
    yield "models, the first row that fits wins:"
    for row in settings.models:
        yield f"  {row.match} -> {_targets(settings, row)}"
    if settings.safeguards is not None:
        yield f"tool calls: {_judges(settings.safeguards)}"
    for name in names:
        fitting = _fitting_rows(settings, name)
        yield f"{name}: " + ("; else ".join(fitting) if fitting else "no row fits: 404")


def _callers(settings: Settings) -> str:
    if settings.auth.mode == "off":
        return "anybody (auth.mode: off)"
    issuers = [redact_url(name) for each in settings.auth.providers for name in (each.issuer, *each.issuers) if name]
    return f"{settings.auth.mode}, tokens of {', '.join(issuers) or 'no issuer'}; rules: {len(settings.policy.rules)}"


def _judges(safeguards: SafeguardsSettings) -> str:
    modes = [rule.mode for rule in safeguards.rules]
    rules = f"rules: {modes.count('enforce')}" + (
        f" ({modes.count('dry_run')} in dry run)" if "dry_run" in modes else ""
    )
    undecided = safeguards.undecided or ("classifier" if safeguards.classifier is not None else "unsupported")
    if undecided == "classifier" and safeguards.classifier is not None:
        use = safeguards.classifier.use
        return f"{rules}, then the classifier {use if isinstance(use, str) else ', then '.join(use)}"
    return f"{rules}, then {_UNDECIDED.get(undecided, undecided)}"


def _targets(settings: Settings, row: ModelSettings, asked: str = "the asked name") -> str:
    """The targets of a row, for the name that was asked for."""
    targets = []
    for target in row.targets:
        backend, _, model = target.partition("/")
        targets.append(f"{model or asked} at {backend} ({redact_url(settings.backends[backend].base_url)})")
    limit = f", at most {row.max_output_tokens} tokens out" if row.max_output_tokens else ""
    return ", then ".join(targets) + limit + (f", when {row.when}" if row.when else "")


def _fitting_rows(settings: Settings, name: str) -> list[str]:
    """The rows that may be used for a name: those with a condition before the first without one, and that one."""
    found = []
    vendors = dict.fromkeys(settings.backends, "")
    for row in settings.models:
        try:
            ModelTable([ModelRow(row.match, row.targets)], vendors).resolve(name)
        except NotFound:
            continue
        found.append(_targets(settings, row, name))
        if row.when is None:
            break
    return found
