"""`usage`: what is written down, and where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asgi_llmgate._types import ASGIApp, Layer
from asgi_llmgate.config import schema as shape
from asgi_llmgate.config.callables import load_callable
from asgi_llmgate.config.checks import extra, require_writable
from asgi_llmgate.config.errors import error_path
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.policy import field
from asgi_llmgate.routing import ModelTable
from asgi_llmgate.routing.routes import Routes
from asgi_llmgate.usage import Sink, UsageMiddleware
from asgi_llmgate.usage.costs import Costs, genai_prices
from asgi_llmgate.usage.record import Cost, Field

if TYPE_CHECKING:
    from asgi_llmgate.usage.ledger import Ledger


def usage_layer(
    settings: shape.Settings, models: ModelTable, variables: Iterable[str] = ()
) -> tuple[Layer, list[Sink]]:
    """What writes usage records, and the sinks of metrics and spans.  Raises SettingsError."""
    sinks: list[Sink] = []
    usage, fields = settings.usage, _fields(settings.usage.fields, settings.policy.list_claims, variables)
    bounds: dict[str, Any] = {"models": models.models(), "fields": fields}
    options: dict[str, Any] = {"fields": fields, "cost": _costs(settings)}
    if usage.prometheus:
        prometheus = shape.PrometheusSettings() if usage.prometheus is True else usage.prometheus
        with error_path("usage.prometheus"), extra("prometheus"):
            from asgi_llmgate.usage.prometheus import Prometheus

            sinks.append(Prometheus(labels=prometheus.labels, **bounds))
    if not usage.otel:
        return partial(UsageMiddleware, **options), sinks
    otel = shape.Otel() if usage.otel is True else usage.otel
    with error_path("usage.otel"), extra("otel"):
        from asgi_llmgate.usage.otel import OpenTelemetry
        from asgi_llmgate.usage.server_span import ServerSpan

        telemetry = OpenTelemetry(otel.semconv, labels=otel.labels, traceparent=otel.traceparent, **bounds)
    sinks.append(telemetry)
    layer: Layer = partial(UsageMiddleware, tracing=telemetry, **options)
    if not otel.server_span:
        return layer, sinks

    def in_a_span(app: ASGIApp, *, sinks: Sequence[Sink], routes: Routes) -> ASGIApp:
        return ServerSpan(layer(app, sinks=sinks), routes=routes)

    return in_a_span, sinks


def _fields(fields: Mapping[str, str], list_claims: Sequence[str], variables: Iterable[str]) -> Mapping[str, Field]:
    made = {}
    for name, text in fields.items():
        with error_path(f"usage.fields.{name}"):
            made[name] = field(text, list_claims, variables)
    return made


def _costs(settings: shape.Settings) -> Cost | None:
    """Nothing is counted where nothing has a price."""
    if settings.usage.prices is not None:
        with error_path("usage.prices"):
            return Costs(genai_prices())
    return Costs() if any(row.prices for row in settings.models) else None


def make_sinks(described: Iterable[shape.SinkSettings]) -> list[Sink]:
    """The sinks of the host's own that settings name.  Raises SettingsError."""
    sinks = []
    for index, each in enumerate(described):
        with error_path(f"usage.sinks[{index}]"):
            sink = load_callable(each.callable)()
            if not callable(getattr(sink, "emit", None)):
                raise SettingsError(
                    f"{each.callable} made a {type(sink).__name__}, which has no method emit",
                    path="callable",
                    hint="name a class, or a function that returns a sink",
                )
            sinks.append(sink)
    return sinks


def make_ledger(settings: shape.LedgerSettings, folder: Path) -> Ledger:
    """The ledger that a section of the settings describes.  Raises SettingsError."""
    with error_path("usage.ledger"), extra("ledger"):
        from asgi_llmgate.usage.ledger import Ledger, parse_url
    with error_path("usage.ledger.url"):
        url = parse_url(settings.url, folder)
    journal = folder / settings.journal
    require_writable(journal, "usage.ledger.journal")
    if url.get_backend_name() == "sqlite":
        require_writable(Path(url.database or "").parent, "usage.ledger.url")
    keep = None if settings.keep is None else shape.parse_duration(settings.keep, "usage.ledger.keep")
    return Ledger(url, journal=journal, keep=keep)
