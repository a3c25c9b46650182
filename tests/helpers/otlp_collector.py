"""An OTLP receiver: what the SDK's own exporter sends it over HTTP, decoded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.asgi.responses import respond
from asgi_llmgate.testing.serving import serving


@dataclass(frozen=True)
class Span:
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    error: bool
    events: list[tuple[str, dict[str, Any]]]
    text: str = field(repr=False)
    """All of it as text, to look for what must not be there."""


@dataclass(frozen=True)
class Point:
    """One series: a counter's value, or a histogram's sum with its boundaries and counts."""

    attributes: dict[str, Any]
    value: float
    count: int = 0
    buckets: tuple[float, ...] = ()
    unit: str = ""


class Collector:
    """The ASGI app that receives, and providers whose exporters send to it."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._traces: list[ExportTraceServiceRequest] = []
        self._metrics: list[ExportMetricsServiceRequest] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        with self._arrived:
            if scope["path"] == "/v1/traces":
                self._traces.append(ExportTraceServiceRequest.FromString(body))
            else:
                self._metrics.append(ExportMetricsServiceRequest.FromString(body))
            self._arrived.notify_all()
        await respond(send, 200, [(b"content-type", b"application/x-protobuf")], b"")

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Each export has what came since the one before it: tests in one process do not see each other's numbers."""
        deltas: Any = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}
        with serving(self) as url:
            spans = OTLPSpanExporter(url + "/v1/traces", timeout=30)
            measures = OTLPMetricExporter(url + "/v1/metrics", timeout=30, preferred_temporality=deltas)
            self.tracer_provider = TracerProvider(shutdown_on_exit=False)
            self.tracer_provider.add_span_processor(BatchSpanProcessor(spans))
            reader = PeriodicExportingMetricReader(measures, export_interval_millis=3_600_000)
            self.meter_provider = MeterProvider([reader], shutdown_on_exit=False)
            yield self
            self.tracer_provider.shutdown()
            self.meter_provider.shutdown()

    def clear(self) -> None:
        self.spans()
        self.metrics()
        self._traces.clear()
        self._metrics.clear()

    def wait(self) -> tuple[list[Span], dict[str, list[Point]]]:
        """The first spans and metrics of ours that another process sends."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: self._traces and self._received(), timeout=60)
        return self._ended(), self._received()

    def spans(self) -> list[Span]:
        """All that have ended, in the order of their ends."""
        assert self.tracer_provider.force_flush(60_000)
        return self._ended()

    def metrics(self) -> dict[str, list[Point]]:
        """What was counted since `clear`; to be asked once."""
        assert self.meter_provider.force_flush(60_000)
        return self._received()

    def _ended(self) -> list[Span]:
        return [
            Span(
                name=span.name,
                kind=["", "INTERNAL", "SERVER", "CLIENT"][span.kind],
                trace=span.trace_id.hex(),
                id=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                attributes=_attributes(span.attributes),
                error=span.status.code == 2,
                events=[(event.name, _attributes(event.attributes)) for event in span.events],
                text=str(span),
            )
            for request in self._traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def _received(self) -> dict[str, list[Point]]:
        found: dict[str, list[Point]] = {}
        for request in self._metrics:
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    if scope.scope.name == "asgi_llmgate":
                        found |= {metric.name: list(_points(metric)) for metric in scope.metrics}
        return found


def _points(metric: Any) -> Iterator[Point]:
    if metric.HasField("histogram"):
        for point in metric.histogram.data_points:
            buckets = tuple(point.explicit_bounds)
            yield Point(_attributes(point.attributes), point.sum, point.count, buckets, metric.unit)
    else:
        assert metric.sum.is_monotonic
        for point in metric.sum.data_points:
            value = point.as_double if point.HasField("as_double") else point.as_int
            yield Point(_attributes(point.attributes), value, unit=metric.unit)


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)
