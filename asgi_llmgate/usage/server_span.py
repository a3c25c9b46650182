"""The server span, by opentelemetry-instrumentation-asgi, wrapped so that it fits an LLM's streams and keeps secrets.

The instrumentation by itself makes a span of each message (104 for a stream of 100 chunks), names spans by whatever
path is asked, writes the query string down, and the message of an exception with it.  Here:

- messages have no spans, and a name is one of the routes;
- it sees the request without its query string, which the app gets nevertheless;
- what the app raises goes around it: the record has named its class by then (otel.py);
- credentials are not captured even where the host asks for all headers.

Where the host is instrumented already, its span is current when a request comes in.  Then that is the server span, and
none is made here.
"""

from __future__ import annotations

from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.util.http import OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS, get_custom_headers

from asgi_llmgate._types import ASGIApp, Receive, Scope, Send
from asgi_llmgate.asgi import local_path
from asgi_llmgate.routing.routes import ROUTES, Routes, find

_CREDENTIALS = ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_PASSAGE = "llmgate.passage"
"""Where in the scope that the instrumentation sees the original one is, and room for what the app raises."""


class ServerSpan:
    """A span around each HTTP request to `app`, named after one of the `routes`, where the request is for one."""

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
        self._instrumented = OpenTelemetryMiddleware(
            self._inside,
            default_span_details=self._details,
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            http_capture_headers_sanitize_fields=[
                *_CREDENTIALS,
                *get_custom_headers(OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS),
            ],
            exclude_spans=["receive", "send"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_traced():
            await self.app(scope, receive, send)
            return
        passage = _Passage(scope)
        await self._instrumented({**scope, "query_string": b"", _PASSAGE: passage}, receive, send)
        if passage.raised is not None:
            raise passage.raised

    async def _inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        passage: _Passage = scope[_PASSAGE]
        try:
            await self.app(passage.scope, receive, send)
        except Exception as error:
            trace.get_current_span().set_status(trace.StatusCode.ERROR)
            passage.raised = error

    def _details(self, scope: Scope) -> tuple[str, dict[str, Any]]:
        method = scope["method"] if scope["method"] in _METHODS else "HTTP"
        path = local_path(scope)
        found = find(self._routes, path)
        if found is None:
            return method, {}
        route = scope["path"].rstrip("/")
        if item := found[1]:
            route = route.removesuffix(item) + "{id}"
        return f"{method} {route}", {"http.route": route}


class _Passage:
    __slots__ = ("raised", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.raised: Exception | None = None


def _is_traced() -> bool:
    context = trace.get_current_span().get_span_context()
    return context.is_valid and not context.is_remote
