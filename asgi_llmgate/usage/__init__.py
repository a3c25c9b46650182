"""Usage records: one record per request, and the sinks that it is sent to.

Sinks that need packages of an extra (`ledger`, `otel`, `prometheus`) are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from asgi_llmgate.usage.access_log import AccessLog
from asgi_llmgate.usage.middleware import UsageMiddleware
from asgi_llmgate.usage.record import UsageRecord
from asgi_llmgate.usage.sinks import Sink

if TYPE_CHECKING:
    from asgi_llmgate.usage.ledger import Database, Ledger, LedgerState
    from asgi_llmgate.usage.otel import OpenTelemetry
    from asgi_llmgate.usage.prometheus import Prometheus, PrometheusApp
    from asgi_llmgate.usage.server_span import ServerSpan

_EXTRAS = {
    "Database": "ledger",
    "Ledger": "ledger",
    "LedgerState": "ledger",
    "OpenTelemetry": "otel",
    "Prometheus": "prometheus",
    "PrometheusApp": "prometheus",
    "ServerSpan": "server_span",
}

__all__ = [
    "AccessLog",
    "Database",
    "Ledger",
    "LedgerState",
    "OpenTelemetry",
    "Prometheus",
    "PrometheusApp",
    "ServerSpan",
    "Sink",
    "UsageMiddleware",
    "UsageRecord",
]


def __getattr__(name: str) -> object:
    """PEP 562."""
    if name not in _EXTRAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_EXTRAS[name]}"), name)
