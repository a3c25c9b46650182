"""What runs under uvicorn.  Each imports what it needs and no more, since its memory and its start are measured, too.

`null` does nothing.  `yardstick` does the work of a gateway and nothing for safety.  `gateway` does all of it; its
settings are the file that LLMGATE_CONFIG names.  `otel_sdk` is that with an SDK whose spans go nowhere.  `watched` is
the app that WATCHED names, and tells how long its event loop has stood still.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

BEAT = 0.0005
"""Seconds between two looks at the clock."""


async def null(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, and responds at once."""
    if scope["type"] != "http":
        return
    while (await receive())["more_body"]:
        pass
    await _respond(send, b"{}")


def yardstick() -> Any:
    from benchmarks.side_by_side.yardstick.app import Yardstick

    return Yardstick()


def gateway() -> Any:
    from asgi_llmgate import Gateway

    return Gateway.from_file(os.environ["LLMGATE_CONFIG"])


ledger = otel = gateway


def otel_sdk() -> Any:
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    return gateway()


def watched() -> Any:
    return Watched(globals()[os.environ["WATCHED"]]())


class Watched:
    """`app`, whose event loop is looked at.

    GET /loop responds with the tasks that there are, and the milliseconds that the loop has stood still at most since
    it was asked last.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._due = 0.0
        self._longest = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/loop":
            await self._app(scope, receive, send)
            return
        longest, self._longest = self._longest, 0.0
        if not self._due:
            self._beat()
        tasks = len(asyncio.all_tasks())
        await _respond(send, b'{"tasks": %d, "longest_stall": %.3f}' % (tasks, longest * 1000))

    def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._due:
            self._longest = max(self._longest, now - self._due)
        self._due = now + BEAT
        loop.call_at(self._due, self._beat)


async def _respond(send: Any, content: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
