"""The server span, made by opentelemetry-instrumentation-asgi, adapted to streams and to secrets.

The instrumentation alone makes one span per message (104 for a stream of 100 chunks), uses any requested path as the
name of a span, and records the query string and the messages of exceptions.  Here:

- messages have no spans, and the name contains a path only if it is one of the gateway's routes;
- the instrumentation sees a scope without the query string; the app gets the original scope;
- an exception of the app is raised after the instrumentation has returned, so that its message is not recorded; the
  usage record has set `error.type` by then (otel.py);
- headers with credentials are not captured, even if the host captures all headers.

If the host is instrumented already, its span is current when a request arrives.  Then no second one is made.
"""

from __future__ import annotations

from typing import Any

from asgi_llmgate._types import ASGIApp, Receive, Scope, Send
from asgi_llmgate.asgi import local_path
from asgi_llmgate.extras import needs_extra
from asgi_llmgate.routing.routes import ROUTES, Routes, find
from asgi_llmgate.usage.otel_api import brings_a_trace, metrics_are_lost, spans_are_lost

with needs_extra("otel", "OpenTelemetry"):
    from opentelemetry import metrics, trace
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.util.http import OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS, get_custom_headers

_CREDENTIALS = ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"]

# Other methods would make the number of span names unbounded.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_ORIGINAL = "llmgate.original"
"""Key of an _Original in the scope that the instrumentation sees."""


class ServerSpan:
    """An ASGI middleware that makes a server span for each HTTP request, named by method and route."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Routes = ROUTES,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self.app = app
        self._routes = routes
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._instrumented = OpenTelemetryMiddleware(
            self._call_app,
            default_span_details=self._name_and_attributes,
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            http_capture_headers_sanitize_fields=[
                *_CREDENTIALS,
                *get_custom_headers(OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS),
            ],
            # No spans for messages: a stream would have one per chunk.
            exclude_spans=["receive", "send"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A host that is instrumented has its own server span.
        if scope["type"] != "http" or self._would_do_nothing(scope) or _is_traced():
            await self.app(scope, receive, send)
            return
        original = _Original(scope)
        await self._instrumented({**scope, "query_string": b"", _ORIGINAL: original}, receive, send)
        if original.raised is not None:
            raise original.raised

    def _would_do_nothing(self, scope: Scope) -> bool:
        lost = spans_are_lost(self._tracer_provider) and metrics_are_lost(self._meter_provider)
        return lost and not brings_a_trace(scope)

    async def _call_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        original: _Original = scope[_ORIGINAL]
        try:
            await self.app(original.scope, receive, send)
        except Exception as error:
            # The instrumentation would do this if it saw the exception.
            trace.get_current_span().set_status(trace.StatusCode.ERROR)
            original.raised = error

    def _name_and_attributes(self, scope: Scope) -> tuple[str, dict[str, Any]]:
        method = scope["method"] if scope["method"] in _METHODS else "HTTP"
        path = local_path(scope)
        found = find(self._routes, path)
        if found is None:
            return method, {}
        # The route with its mount and without the id: /llm/v1/models/{id}.
        route = scope["path"].rstrip("/")
        if item := found.item:
            route = route.removesuffix(item) + "{id}"
        return f"{method} {route}", {"http.route": route}


class _Original:
    """The scope that the app gets, and the exception that it raised."""

    __slots__ = ("raised", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.raised: Exception | None = None


def _is_traced() -> bool:
    """Whether a span of this process is current.  A remote one is the caller's, from `traceparent`."""
    context = trace.get_current_span().get_span_context()
    return context.is_valid and not context.is_remote
