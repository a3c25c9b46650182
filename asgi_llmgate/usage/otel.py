"""OpenTelemetry: spans and metrics of a call.

Only OpenTelemetry's API is used.  The SDK and the exporters belong to the host.

    span                       kind    from ... to                                        made by
    -------------------------  ------  -------------------------------------------------  --------------------------
    POST /llm/v1/messages      SERVER  the request until its last message has left        ServerSpan (server_span.py)
    chat gpt-4o-mini           CLIENT  one upstream request until the record of its call  OpenTelemetry.call

`OpenTelemetry` is a sink.  The record is written before the last message leaves; at this moment the metrics are
counted, the client span gets its attributes and ends, and the server span gets what the gateway knows beyond HTTP.
Later would be too late, because the instrumentation ends the server span with the last message.

A span never contains prompts, completions, tokens, keys, messages of errors, or claims that are not in `usage.fields`.
The model server gets `traceparent` and no other part of the context, because baggage may hold internal data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from asgi_llmgate._version import __version__
from asgi_llmgate.clipping import clip
from asgi_llmgate.errors import GateError, UpstreamError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.extras import needs_extra
from asgi_llmgate.usage.measurements import Measurements
from asgi_llmgate.usage.metrics import Metric, Semconv, attribute_names
from asgi_llmgate.usage.otel_api import metrics_are_lost, spans_are_lost
from asgi_llmgate.usage.record import UsageRecord
from asgi_llmgate.usage.verdicts import VerdictRecord

with needs_extra("otel", "OpenTelemetry"):
    from opentelemetry import context as current
    from opentelemetry import metrics, trace
    from opentelemetry.trace import Span, SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

RawHeaders = Iterable[tuple[bytes, bytes]]

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"

SERVER_SPAN: Mapping[str, str] = {
    "request_id": "llmgate.request_id",
    "outcome": "llmgate.outcome",
    "reason": "llmgate.reason",
    "error.type": "error.type",
    "policy.rule": "policy.rule",
    "policy.dry_run": "policy.dry_run",
    "llmgate.client.model": "llmgate.client.model",
}
"""Name in the usage record -> attribute of the server span.  The names in `usage.fields` are added."""

CLIENT_SPAN = frozenset(
    {
        "gen_ai.response.model",
        "gen_ai.response.id",
        "gen_ai.response.finish_reasons",
        "gen_ai.request.max_tokens",
        "gen_ai.request.stream",
        "gen_ai.request.temperature",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.conversation.id",
        "gen_ai.agent.id",
        "llmgate.client.model",
        "llmgate.parent_request_id",
        "llmgate.attempts",
        "llmgate.cost_usd",
        "llmgate.estimated",
        "error.type",
    }
)
"""Attributes that the client span gets at its end; a usage record has them under the same names.

At its start, when samplers decide, the span has gen_ai.operation.name, gen_ai.provider.name, gen_ai.request.model,
server.address, server.port and llmgate.backend.
"""

EVALUATION = "gen_ai.evaluation.result"
"""Event of the client span, one for each verdict on a tool call:
https://github.com/open-telemetry/semantic-conventions/blob/v1.41.1/docs/gen-ai/gen-ai-events.md"""

TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
"""Attribute in seconds, from sending the upstream request."""

# Outcomes whose spans have the status ERROR.  A refusal or a client that has left is not a failure of this server.
_FAILED = frozenset({"error", "upstream_error", "upstream_truncated", "shutdown"})

_trace_context = TraceContextTextMapPropagator()

_NO_TRACE: AbstractContextManager[RawHeaders] = nullcontext(())


class OpenTelemetry:
    """A sink that writes metrics and ends spans, and the `tracing` that begins them:
    `UsageMiddleware(..., sinks=[telemetry], tracing=telemetry)`.

    `semconv` chooses the version of the conventions.  `models`, `labels` and `fields` are those of Measurements.  With
    `traceparent=False` upstream requests carry no trace.  The providers are the global ones by default; these may be
    set after this object is made.
    """

    def __init__(
        self,
        semconv: Semconv = "1.41",
        *,
        models: Collection[str] | None = None,
        labels: Sequence[str] = (),
        fields: Collection[str] | None = None,
        traceparent: bool = True,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._measurements = Measurements(semconv, models=models, labels=labels, fields=fields)
        self._renamed = attribute_names(semconv)
        self._traceparent = traceparent
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        # The latest conventions have no released schema.
        schema = SCHEMA_URL if semconv == "1.41" else None
        self._tracer = trace.get_tracer("asgi_llmgate", __version__, tracer_provider, schema_url=schema)
        meter = metrics.get_meter("asgi_llmgate", __version__, meter_provider, schema_url=schema)
        self._write = {metric.name: _instrument(meter, metric) for metric in self._measurements.metrics}
        # The open client spans by request id.  Every request ends with a record, which ends its span.
        self._client_spans: dict[str, Span] = {}

    def call(self, exchange: Exchange, address: tuple[str, int]) -> AbstractContextManager[RawHeaders]:
        """Begin the client span of one upstream request to `address`.  The context manager gives the headers to
        send."""
        previous = self._client_spans.pop(exchange.request_id, None)
        if previous is not None:  # the model server rejected that request, and this is a retry with a correction
            _fail(previous, "RequestRejected")
        if spans_are_lost(self._tracer_provider) and not trace.get_current_span().get_span_context().is_valid:
            return _NO_TRACE
        target = exchange.target
        assert target is not None
        operation, model = exchange.call.operation if exchange.call is not None else "", clip(target.model)
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": target.vendor,
            "gen_ai.request.model": model,
            "server.address": address[0],
            "server.port": address[1],
            "llmgate.backend": target.backend,
        }
        # On a passthrough the operation may be unknown, and the request may name no model.
        if not (operation and model):
            attributes = {name: value for name, value in attributes.items() if value}
        name = f"{operation or 'call'} {model}".rstrip()
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        self._client_spans[exchange.request_id] = span
        return _Sending(self, exchange.request_id, span)

    def emit(self, record: UsageRecord) -> None:
        """Count the metrics and end the client span of this record's call."""
        client = self._client_spans.pop(record.request_id, None)
        # The current span is that of the client's request, not of a call that the gateway makes itself.  Where the
        # record names no trace, there is none.
        is_traced = record.trace_id and not record.parent_request_id
        server = trace.get_current_span() if is_traced else trace.INVALID_SPAN
        recording = server.is_recording() or (client is not None and client.is_recording())
        # A span that a sampler has dropped needs no attributes.
        flat = record.flat() if recording else {}
        if server.is_recording():
            server.set_attributes({SERVER_SPAN[name]: value for name, value in flat.items() if name in SERVER_SPAN})
            server.set_attributes(dict(record.fields))
            if record.outcome in _FAILED:
                server.set_status(StatusCode.ERROR)
        if client is not None:
            self._end(client, record, flat)
        if metrics_are_lost(self._meter_provider):
            return
        for metric, value, labels in self._measurements.of(record):
            self._write[metric.name](value, labels)

    def count(self, counter: str, labels: Mapping[str, str | int]) -> None:
        """Count one more in the counter of this name."""
        self._write[counter](1, labels)

    def _end(self, span: Span, record: UsageRecord, flat: Mapping[str, Any]) -> None:
        known = {name: value for name, value in flat.items() if name in CLIENT_SPAN}
        for old, names in self._renamed.items():
            if old in known:
                known |= dict.fromkeys(names, known.pop(old))
        if record.stream and record.ttft_ms is not None and record.upstream_ms is not None:
            # ttft_ms counts from the client's request; the attribute counts from the upstream request.
            until_sent = record.duration_ms - record.upstream_ms
            known[TO_FIRST_CHUNK] = max(record.ttft_ms - until_sent, 0) / 1000
        span.set_attributes(known)
        for verdict in record.safeguards:
            span.add_event(EVALUATION, _evaluation(verdict))
        if record.outcome in _FAILED:
            span.set_status(StatusCode.ERROR)
        span.end()

    def _headers(self) -> RawHeaders:
        carrier: dict[str, str] = {}
        if self._traceparent:
            _trace_context.inject(carrier)
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in carrier.items()]


class _Sending:
    """Makes the client span the current one while the request is sent, so that spans of an instrumented HTTP client are
    its children.  Ends the span if sending raises a GateError."""

    __slots__ = ("_id", "_span", "_telemetry", "_token")

    def __init__(self, telemetry: OpenTelemetry, request_id: str, span: Span) -> None:
        self._telemetry, self._id, self._span = telemetry, request_id, span

    def __enter__(self) -> RawHeaders:
        self._token = current.attach(trace.set_span_in_context(self._span))
        return self._telemetry._headers()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        current.detach(self._token)
        # Other exceptions, such as a cancellation, end with the record, which ends the span.
        if isinstance(error, GateError):
            self._telemetry._client_spans.pop(self._id, None)
            if isinstance(error, UpstreamError) and error.status:
                self._span.set_attribute("http.response.status_code", error.status)
            _fail(self._span, type(error).__name__)


def _evaluation(verdict: VerdictRecord) -> Mapping[str, str]:
    attributes = {
        "gen_ai.evaluation.name": "dangerous_tool_use",
        "gen_ai.evaluation.score.label": verdict.outcome,
        "gen_ai.tool.name": verdict.tool,
        "gen_ai.tool.call.id": verdict.tool_use_id,
        "llmgate.safeguards.decided_by": verdict.decided_by,
        "llmgate.safeguards.rule": verdict.rule,
        "llmgate.safeguards.model": verdict.model,
    }
    return {name: value for name, value in attributes.items() if value}


def _fail(span: Span, error_type: str) -> None:
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)
    span.end()


def _instrument(meter: metrics.Meter, metric: Metric) -> Any:
    """A function that takes a value and its labels."""
    if metric.buckets:
        return meter.create_histogram(
            metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=list(metric.buckets)
        ).record
    return meter.create_counter(metric.name, metric.unit, metric.description).add
