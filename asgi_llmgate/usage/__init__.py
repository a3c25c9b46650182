"""Usage records: one record per request, and the sinks that it is sent to.

Names that need packages of an extra (`ledger`, `otel`, `prometheus`) are imported when they are first used, and are not
in `__all__`, so that `import *` works without the extra.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from asgi_llmgate.usage.access_log import AccessLog
from asgi_llmgate.usage.middleware import UsageMiddleware
from asgi_llmgate.usage.record import Cost, Field, UsageRecord
from asgi_llmgate.usage.sinks import Sink

if TYPE_CHECKING:
    from asgi_llmgate.usage.ledger import Database as Database
    from asgi_llmgate.usage.ledger import Ledger as Ledger
    from asgi_llmgate.usage.ledger import LedgerState as LedgerState
    from asgi_llmgate.usage.otel import OpenTelemetry as OpenTelemetry
    from asgi_llmgate.usage.prometheus import Prometheus as Prometheus
    from asgi_llmgate.usage.prometheus import PrometheusApp as PrometheusApp
    from asgi_llmgate.usage.server_span import ServerSpan as ServerSpan

_EXTRAS = {
    "Database": "ledger",
    "Ledger": "ledger",
    "LedgerState": "ledger",
    "OpenTelemetry": "otel",
    "Prometheus": "prometheus",
    "PrometheusApp": "prometheus",
    "ServerSpan": "server_span",
}

__all__ = ["AccessLog", "Cost", "Field", "Sink", "UsageMiddleware", "UsageRecord"]

# Hidden from type checkers: for them any name would exist.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """PEP 562."""
        if name not in _EXTRAS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_EXTRAS[name]}"), name)
