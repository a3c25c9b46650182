"""`usage`: the records about requests, and where they are written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asgi_llmgate._types import ASGIApp, Layer
from asgi_llmgate.config.callables import load_callable
from asgi_llmgate.config.section import Section
from asgi_llmgate.config.units import parse_time_span, require_writable, resolve_path
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.mistakes import Mistakes, error_path
from asgi_llmgate.policy import field
from asgi_llmgate.routing.routes import Routes
from asgi_llmgate.usage import AccessLog, Sink, UsageMiddleware
from asgi_llmgate.usage.costs import Costs, genai_prices
from asgi_llmgate.usage.metrics import Semconv
from asgi_llmgate.usage.record import Cost, Field
from asgi_llmgate.usage.sinks import MetricSink
from asgi_llmgate.usage.verdicts import VerdictAudit

if TYPE_CHECKING:
    from asgi_llmgate.usage.ledger import Ledger


class AccessLogSettings(Section, frozen=True):
    """One line for each record.  `stdout`: lines for which logging has no handler go to standard output."""

    format: Literal["json", "logfmt"] = "json"
    file: str | None = None
    stdout: bool = True


class SinkSettings(Section, frozen=True):
    """A sink of the host.  `callable`, as `package.module:name`, makes it; it is called without arguments."""

    callable: str


class OtelSettings(Section, frozen=True):
    """OpenTelemetry.  `labels` are names of `usage.fields` that become labels of the metrics."""

    semconv: Semconv = "1.41"
    server_span: bool = True
    traceparent: bool = True
    labels: tuple[str, ...] = ()


class PrometheusSettings(Section, frozen=True):
    """Metrics for Prometheus; `labels` as for OpenTelemetry."""

    labels: tuple[str, ...] = ()


class LedgerSettings(Section, frozen=True):
    """The database of records.  `url`: sqlite:///FILE or postgresql://...; `keep` like `400d`, null for no limit."""

    url: str = "sqlite:///llmgate.db"
    journal: str = "llmgate-journal"
    keep: str | None = "400d"


class UsageSettings(Section, frozen=True):
    """The records.  `fields`: name in the record -> CEL expression over jwt, request and llm; `user`: the same for what
    reports call the caller."""

    access_log: AccessLogSettings = AccessLogSettings()
    fields: dict[str, str] = {}
    user: str | None = None
    otel: bool | OtelSettings = False
    prometheus: bool | PrometheusSettings = False
    ledger: LedgerSettings | None = None
    sinks: tuple[SinkSettings, ...] = ()
    prices: Literal["genai-prices"] | None = None


def make_fields(
    fields: Mapping[str, str], list_claims: Sequence[str], mistakes: Mistakes, variables: Collection[str] = ()
) -> Mapping[str, Field]:
    """`usage.fields` as functions of the exchange; `variables` are further rule variables."""
    made: dict[str, Field] = {}
    for name, text in fields.items():
        made[name] = _no_value
        with mistakes.under(f"usage.fields.{name}"):
            made[name] = field(text, list_claims, variables)
    return made


def _no_value(exchange: Exchange) -> None:
    """In the place of a field that cannot be compiled, so that its name is known to labels."""


def make_user(
    source: str | None, list_claims: Sequence[str], mistakes: Mistakes, variables: Collection[str] = ()
) -> Field | None:
    """`usage.user` as a function of the exchange; `variables` are further rule variables."""
    made: Field | None = None
    if source is not None:
        with mistakes.under("usage.user"):
            made = field(source, list_claims, variables)
    return made


def make_usage_layer(
    usage: UsageSettings,
    fields: Mapping[str, Field],
    models: Collection[str],
    mistakes: Mistakes,
    *,
    user: Field | None,
    audit: VerdictAudit | None,
    has_prices: bool,
    catalogue_models: Collection[tuple[str, str]] | None,
) -> tuple[Layer, list[MetricSink]]:
    """The UsageMiddleware, and the sinks for metrics and spans, whose label `model` has the values `models`.

    `user` names the caller in reports, `audit` says what is recorded of verdicts on tool calls.  `has_prices`: a row of
    the model table has prices.  `catalogue_models` are the `models` of `genai_prices`.
    """
    # Imported where they are used: prometheus-client and OpenTelemetry are extras.
    options: dict[str, Any] = {"fields": fields, "user": user, "audit": audit}
    with mistakes.under("usage.prices"):
        options["cost"] = _make_costs(usage, catalogue_models, has_prices=has_prices)
    sinks: list[MetricSink] = []
    if usage.prometheus:
        prometheus = PrometheusSettings() if usage.prometheus is True else usage.prometheus
        with mistakes.under("usage.prometheus"):
            from asgi_llmgate.usage.prometheus import Prometheus

            sinks.append(Prometheus(labels=prometheus.labels, models=models, fields=fields))
    layer: Layer = partial(UsageMiddleware, **options)
    if not usage.otel:
        return layer, sinks
    otel = OtelSettings() if usage.otel is True else usage.otel
    with mistakes.under("usage.otel"):
        from asgi_llmgate.usage.otel import OpenTelemetry
        from asgi_llmgate.usage.server_span import ServerSpan

        telemetry = OpenTelemetry(
            otel.semconv, labels=otel.labels, traceparent=otel.traceparent, models=models, fields=fields
        )
        sinks.append(telemetry)
        layer = partial(UsageMiddleware, tracing=telemetry, **options)
        if otel.server_span:
            return _in_span(layer, ServerSpan), sinks
    return layer, sinks


def _in_span(layer: Layer, span: Callable[..., ASGIApp]) -> Layer:

    # Gateway passes what layers share by the names of their parameters, so these two are written out.
    def layer_in_span(app: ASGIApp, *, sinks: Sequence[Sink], routes: Routes) -> ASGIApp:
        return span(layer(app, sinks=sinks), routes=routes)

    return layer_in_span


def make_access_log(access_log: AccessLogSettings, folder: Path) -> AccessLog:
    """The access log; its file is relative to `folder`."""
    return AccessLog(access_log.format, resolve_path(folder, access_log.file), stdout=access_log.stdout)


def make_sink(described: SinkSettings) -> Sink:
    """A sink of the host.  Raises SettingsError."""
    sink: Sink = load_callable(described.callable)()
    if not callable(getattr(sink, "emit", None)):
        raise SettingsError(
            f"{described.callable} returned a {type(sink).__name__}, which has no method emit",
            path="callable",
            hint="name a class, or a function that returns a sink",
        )
    return sink


def make_ledger(
    ledger: LedgerSettings, folder: Path, *, keep_verdicts: float | None = None, notify: bool = False
) -> Ledger:
    """The ledger; paths are relative to `folder`.  `keep_verdicts` and `notify` as in Ledger.  Raises SettingsError."""
    with error_path("usage.ledger"):
        from asgi_llmgate.usage.ledger import Ledger, parse_url
    mistakes = Mistakes()
    url = keep = None
    with mistakes.under("usage.ledger.url"):
        url = parse_url(ledger.url, folder)
        if url.get_backend_name() == "sqlite":
            require_writable(Path(url.database or "").parent)
    journal = folder / ledger.journal
    with mistakes.under("usage.ledger.journal"):
        require_writable(journal)
    with mistakes.under("usage.ledger.keep"):
        keep = None if ledger.keep is None else parse_time_span(ledger.keep)
    mistakes.raise_if_any()
    assert url is not None
    return Ledger(url, journal=journal, keep=keep, keep_verdicts=keep_verdicts, notify=notify)


def _make_costs(
    usage: UsageSettings, catalogue_models: Collection[tuple[str, str]] | None, *, has_prices: bool
) -> Cost | None:
    """The function that calculates the cost of a call; None where nothing has a price."""
    if usage.prices is not None:
        return Costs(genai_prices(catalogue_models))
    return Costs() if has_prices else None
