"""`safeguards`: what the model may do on the caller's machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from asgi_llmgate.config.section import Section
from asgi_llmgate.config.units import parse_time_span, require_url
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.net.urls import require_https
from asgi_llmgate.rule_variables import Variable
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.usage.sinks import MetricSink
from asgi_llmgate.usage.verdicts import VerdictAudit

if TYPE_CHECKING:
    from asgi_llmgate.safeguards.classifier import Classifier
    from asgi_llmgate.safeguards.judging import Safeguards
    from asgi_llmgate.safeguards.notifier import Notifier
    from asgi_llmgate.safeguards.rules import SafeguardRule
    from asgi_llmgate.usage.ledger import Ledger

Seconds = Annotated[float, msgspec.Meta(gt=0)]


class SafeguardRuleSettings(Section, frozen=True):
    """A rule about tool calls.  `reason` is what the person and the model read about a flag."""

    name: str
    outcome: Literal["flag", "pass"]
    when: str
    reason: str = ""
    mode: Literal["enforce", "dry_run"] = "enforce"


class ClassifierSettings(Section, frozen=True):
    """The model that is asked about what the rules leave open.  `use`: a target, or a list of them in order of
    preference; `timeout` is in seconds, for all of them together; `prompt` is a file."""

    use: str | tuple[str, ...]
    timeout: Seconds = 20.0
    on_failure: Literal["unavailable", "flag"] = "unavailable"
    prompt: str | None = None


class AuditSettings(Section, frozen=True):
    """What is kept of judged tool calls.  `inputs`: their inputs in full, and not only a hash of them."""

    inputs: bool = False
    keep: str = "90d"


class SafeguardsSettings(Section, frozen=True):
    """Verdicts on the tool calls of responses, for clients that ask for them.

    `undecided` is what a call is that no rule decides about; by default the classifier is asked where there is one,
    and the client decides itself where there is none.
    """

    rules: tuple[SafeguardRuleSettings, ...] = ()
    undecided: Literal["classifier", "pass", "flag", "unsupported"] | None = None
    classifier: ClassifierSettings | None = None
    override: bool = False
    own_classifier: Literal["forward", "answer"] = "forward"
    audit: AuditSettings = AuditSettings()
    notify: str | None = None


def make_safeguards(
    safeguards: SafeguardsSettings | None,
    list_claims: Sequence[str],
    variables: Mapping[str, Variable],
    make_classifier: Callable[[ClassifierSettings], Classifier],
) -> Safeguards | None:
    """What judges tool calls; None without the settings.  Raises SettingsError."""
    if safeguards is None:
        return None
    from asgi_llmgate.safeguards.judging import Safeguards

    mistakes = Mistakes()
    if safeguards.undecided == "classifier" and safeguards.classifier is None:
        hint = "classifier: {use: BACKEND/MODEL}"
        about = ("$.safeguards.classifier",)
        mistakes.add(SettingsError("there is no classifier", path="undecided", hint=hint, rests_on=about))
    classifier = None
    if safeguards.classifier is not None:
        with mistakes.under("classifier"):
            classifier = make_classifier(safeguards.classifier)
    with mistakes.under():
        made = Safeguards(
            make_rules(safeguards),
            undecided=safeguards.undecided or ("classifier" if classifier is not None else "unsupported"),
            classifier=classifier,
            override=safeguards.override,
            list_claims=list_claims,
            variables=variables,
        )
    mistakes.raise_if_any()
    return made


def make_rules(safeguards: SafeguardsSettings) -> list[SafeguardRule]:
    """The rules about tool calls."""
    from asgi_llmgate.safeguards.rules import SafeguardRule

    return [SafeguardRule(**msgspec.structs.asdict(rule)) for rule in safeguards.rules]


def make_audit(safeguards: SafeguardsSettings | None, secrets: Sequence[Secret]) -> VerdictAudit | None:
    """What is recorded of verdicts; None without the settings."""
    return None if safeguards is None else VerdictAudit(secrets=secrets, inputs=safeguards.audit.inputs)


def audit_keep(safeguards: SafeguardsSettings | None) -> float | None:
    """Seconds that verdicts are kept; None without the settings.  Raises SettingsError."""
    return None if safeguards is None else parse_time_span(safeguards.audit.keep, "safeguards.audit.keep")


def make_notifier(
    safeguards: SafeguardsSettings,
    ledger: Ledger | None,
    secrets: Sequence[Secret],
    client: HTTPClient,
    counters: Sequence[MetricSink] = (),
) -> Notifier:
    """What sends the webhook.  Raises SettingsError, also where there is no ledger or no secret."""
    address = safeguards.notify or ""
    mistakes = Mistakes()
    with mistakes.under("safeguards.notify"):
        require_url(address, "https://hooks.example.com/flags")
        require_https(address)
    if ledger is None:
        hint = "flags wait there until they are sent: add `usage: {ledger: {}}`"
        mistakes.add(SettingsError("a webhook needs usage.ledger", path="safeguards.notify", hint=hint))
    if not secrets:
        hint = "the webhook is signed with a key that is derived from it"
        error = SettingsError("a webhook needs secret", path="safeguards.notify", hint=hint, rests_on=("$.secret",))
        mistakes.add(error)
    mistakes.raise_if_any()
    assert ledger is not None
    from asgi_llmgate.safeguards.notifier import Notifier
    from asgi_llmgate.safeguards.webhook import Signer

    signer = Signer(secrets)
    return Notifier(ledger.database.url, address=address, signer=signer, client=client, counters=counters)
