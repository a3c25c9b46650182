"""OpenTelemetry without an SDK: the providers are the API's own, and record nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Target
from asgi_llmgate.testing.driver import call
from asgi_llmgate.usage import UsageRecord
from asgi_llmgate.usage.otel import OpenTelemetry
from asgi_llmgate.usage.otel_api import metrics_are_lost, spans_are_lost
from asgi_llmgate.usage.server_span import ServerSpan

NOTHING: dict[str, Any] = {
    "tracer_provider": trace.NoOpTracerProvider(),
    "meter_provider": metrics.NoOpMeterProvider(),
}
PARENT = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"


class Own(trace.NoOpTracerProvider):
    """A provider of somebody else's."""


@pytest.mark.parametrize(
    ("provider", "lost"),
    [
        (trace.NoOpTracerProvider(), True),
        (trace.ProxyTracerProvider(), True),  # the global one until there is an SDK
        (TracerProvider(shutdown_on_exit=False), False),
        (Own(), False),
    ],
)
def test_only_the_providers_of_the_api_lose_spans(provider: trace.TracerProvider, lost: bool) -> None:
    assert spans_are_lost(provider) == lost


def test_only_the_providers_of_the_api_lose_metrics() -> None:
    assert metrics_are_lost(metrics.NoOpMeterProvider())
    assert not metrics_are_lost(MeterProvider(shutdown_on_exit=False))


def calls_of_the_api(work: Callable[[], object]) -> int:
    """How many functions of OpenTelemetry `work` calls."""
    found = 0

    def count(frame: FrameType, event: str, _: Any) -> None:
        nonlocal found
        found += event == "call" and frame.f_globals["__name__"].startswith("opentelemetry")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


def test_a_call_and_its_record_begin_no_span_and_count_no_metric(full_exchange: Any) -> None:
    exchange: Exchange = full_exchange()
    record = UsageRecord.of(exchange)

    def run(telemetry: OpenTelemetry) -> None:
        with telemetry.call(exchange, ("h", 1)) as headers:
            assert list(headers) == []
        telemetry.emit(record)

    idle = OpenTelemetry(**NOTHING)
    run(idle)
    assert calls_of_the_api(lambda: run(idle)) <= 25
    recording = OpenTelemetry(tracer_provider=Own(), meter_provider=MeterProvider(shutdown_on_exit=False))
    assert calls_of_the_api(lambda: run(recording)) > 50


def test_a_trace_that_is_current_reaches_the_model_server_without_an_sdk() -> None:
    span = trace.NonRecordingSpan(trace.SpanContext(0xAB, 0xCD, is_remote=True))
    with (
        trace.use_span(span),
        OpenTelemetry(**NOTHING).call(Exchange(target=Target("b", "p", "m")), ("h", 1)) as headers,
    ):
        assert dict(headers)[b"traceparent"].startswith(b"00-" + b"0" * 30 + b"ab-")


@pytest.mark.parametrize(
    ("headers", "providers", "current"),
    [
        ({}, NOTHING, 0),
        ({"traceparent": PARENT}, NOTHING, int("ab" * 16, 16)),
        ({}, NOTHING | {"meter_provider": MeterProvider(shutdown_on_exit=False)}, 0),
    ],
)
async def test_the_trace_of_a_request_is_current_without_an_sdk(
    headers: dict[str, str], providers: dict[str, Any], current: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(trace.get_current_span().get_span_context().trace_id)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    layer, instrumented = ServerSpan(app, **providers), []
    real = layer._instrumented
    monkeypatch.setattr(layer, "_instrumented", lambda *a: instrumented.append(1) or real(*a))
    assert (await call(layer, "GET", "/v1/models", headers=headers)).status == 200
    assert seen == [current]
    assert bool(instrumented) == (headers != {} or providers != NOTHING)
