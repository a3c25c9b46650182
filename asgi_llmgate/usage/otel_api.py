"""Whether OpenTelemetry records anything in this process.

Until the host sets up an SDK, the providers are the API's own, which record nothing.  To begin spans and to count
metrics with them costs a fifth of a call nevertheless, so the layers of this package ask first.
"""

from __future__ import annotations

from functools import lru_cache

from asgi_llmgate._types import Scope
from asgi_llmgate.extras import needs_extra

with needs_extra("otel", "OpenTelemetry"):
    from opentelemetry import metrics, propagate, trace
    from opentelemetry.propagators.textmap import TextMapPropagator

_API = ("opentelemetry.trace", "opentelemetry.metrics")


def spans_are_lost(provider: trace.TracerProvider | None) -> bool:
    """Whether this provider, or the global one, records no spans."""
    return _is_of_the_api(type(provider or trace.get_tracer_provider()))


def metrics_are_lost(provider: metrics.MeterProvider | None) -> bool:
    """Whether this provider, or the global one, records no metrics."""
    return _is_of_the_api(type(provider or metrics.get_meter_provider()))


def brings_a_trace(scope: Scope) -> bool:
    """Whether a request has a header of a trace, which the API hands on to the model server even without an SDK."""
    names = [name for name, _ in scope["headers"]]
    return not _header_names(propagate.get_global_textmap()).isdisjoint(names)


@lru_cache(maxsize=16)
def _is_of_the_api(provider: type) -> bool:
    return provider.__module__.startswith(_API)


@lru_cache(maxsize=4)
def _header_names(propagator: TextMapPropagator) -> frozenset[bytes]:
    return frozenset(field.encode("latin-1") for field in propagator.fields)
