"""The cost of usage records per call: records, access log, OpenTelemetry, Prometheus.

    python -m benchmarks.usage [--calls 200] [--rounds 15]

The whole gateway is called in memory. The model server is an httpx transport that responds at once, so what is measured
is the gateway's own work, in processor time. In each round every variant runs once, and is compared with the first of
the same round: other load on the machine affects all of them. The median over the rounds is printed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import click
import httpx
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import CollectorRegistry

from asgi_llmgate import AccessLog, Backend, Gateway, HTTPClient, ModelRow, UsageMiddleware
from asgi_llmgate.exchange import UNTRACED
from asgi_llmgate.testing.driver import http_scope
from asgi_llmgate.usage import Sink
from asgi_llmgate.usage.otel import OpenTelemetry
from asgi_llmgate.usage.prometheus import Prometheus
from asgi_llmgate.usage.server_span import ServerSpan

CHUNKS = 100
USAGE = {"prompt_tokens": 1200, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 1000}}
HEAD = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-mini-2024-07-18"}


def whole() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "word " * CHUNKS}, "finish_reason": "stop"}
    return json.dumps({**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()


def chunks() -> list[bytes]:
    deltas: list[dict[str, Any]] = [{"role": "assistant"}, *({"content": f"word{n} "} for n in range(CHUNKS))]
    events = [{**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events.append({**HEAD, "choices": [], "usage": USAGE})
    return [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events] + [b"data: [DONE]\n\n"]


class Stream(httpx.AsyncByteStream):
    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            await asyncio.sleep(0)
            yield part


class Model(httpx.AsyncBaseTransport):
    """Responds as a stream or as JSON, whichever the request asks for."""

    def __init__(self) -> None:
        self._whole, self._chunks = [whole()], chunks()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if b'"stream":true' in request.content:
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream(self._chunks))
        return httpx.Response(200, headers={"content-type": "application/json"}, stream=Stream(self._whole))


class Nowhere(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def sampled(sampler: Any = None) -> dict[str, Any]:
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    return {"tracer_provider": provider, "meter_provider": MeterProvider([InMemoryMetricReader()])}


def gateway(*sinks: Sink, tracing: OpenTelemetry | None = None, span: dict[str, Any] | None = None) -> Gateway:
    usage = partial(UsageMiddleware, sinks=sinks, tracing=tracing or UNTRACED)
    layer = usage if span is None else lambda inner: ServerSpan(usage(inner), **span)
    bare = not sinks and tracing is None and span is None
    return Gateway(
        backends={"main": Backend(base_url="http://model.test/v1")},
        models=[ModelRow("*", ("main/gpt-4o-mini",))],
        client=HTTPClient(transport=Model()),
        usage=None if bare else layer,
    )


class Forgetful:
    def emit(self, record: Any) -> None:
        pass


def traced(**providers: Any) -> Gateway:
    telemetry = OpenTelemetry(models=["gpt-4o-mini"], **providers)
    return gateway(telemetry, tracing=telemetry, span=providers)


def variants(as_json: AccessLog, as_logfmt: AccessLog) -> dict[str, Gateway]:
    return {
        "no records": gateway(),
        "records, no sink": gateway(Forgetful()),
        "access log, JSON, file": gateway(as_json),
        "access log, logfmt, file": gateway(as_logfmt),
        "access log, Python's logging": gateway(AccessLog()),
        "OpenTelemetry, no SDK": traced(),
        "OpenTelemetry, not sampled": traced(**sampled(ALWAYS_OFF)),
        "OpenTelemetry, spans and metrics": traced(**sampled()),
        "Prometheus": gateway(Prometheus(registry=CollectorRegistry())),
        "access log and OpenTelemetry": _both(as_json),
    }


def _both(log: AccessLog) -> Gateway:
    providers = sampled()
    telemetry = OpenTelemetry(models=["gpt-4o-mini"], **providers)
    return gateway(log, telemetry, tracing=telemetry, span=providers)


async def ask(app: Any, body: bytes) -> None:
    message = {"type": "http.request", "body": body, "more_body": False}
    received = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not received.is_set():
            received.set()
            return message
        await asyncio.Event().wait()
        raise AssertionError

    status = 0

    async def send(sent: dict[str, Any]) -> None:
        nonlocal status
        status = sent.get("status", status)

    await app(http_scope("POST", "/v1/messages", headers={"user-agent": "claude-cli/2.1.330"}), receive, send)
    assert status == 200


async def measure(app: Gateway, body: bytes, calls: int) -> float:
    """Microseconds of processor time per call."""
    started = time.process_time()
    for _ in range(calls):
        await ask(app, body)
    return (time.process_time() - started) / calls * 1e6


async def compare(title: str, body: bytes, calls: int, rounds: int, show: Callable[[str], None]) -> None:
    with (
        tempfile.NamedTemporaryFile() as file,
        closing(AccessLog("json", file.name)) as as_json,
        closing(AccessLog("logfmt", file.name)) as as_logfmt,
    ):
        gateways = variants(as_json, as_logfmt)
        for app in gateways.values():
            await measure(app, body, 20)
        times: dict[str, list[float]] = {name: [] for name in gateways}
        for _ in range(rounds):
            for name, app in gateways.items():
                times[name].append(await measure(app, body, calls))
    first = next(iter(times.values()))
    show(f"\n{title}\n{'':36}  µs/call   added   ratio")
    for name, taken in times.items():
        added = statistics.median(mine - base for mine, base in zip(taken, first, strict=True))
        ratio = statistics.median(mine / base for mine, base in zip(taken, first, strict=True))
        show(f"  {name:34}  {statistics.median(taken):7.0f} {added:7.0f}   {ratio:5.2f}")


@click.command()
@click.option("--calls", default=200, show_default=True, help="Per variant and round.")
@click.option("--rounds", default=15, show_default=True)
def main(calls: int, rounds: int) -> None:
    """Compare."""
    logging.basicConfig(level=logging.INFO, filename=os.devnull)
    body: dict[str, Any] = {"model": "claude-opus-5-5", "max_tokens": 500}
    body["messages"] = [{"role": "user", "content": "hello " * 200}]
    for title, streamed in (("one JSON answer", False), (f"a stream of {CHUNKS} chunks", True)):
        content = json.dumps({**body, "stream": streamed}).encode()
        asyncio.run(compare(title, content, calls if not streamed else calls // 4, rounds, click.echo))


if __name__ == "__main__":
    main()
