"""Usage records: one record per request, and the sinks that it is sent to."""

from __future__ import annotations

from asgi_llmgate.usage.access_log import AccessLog
from asgi_llmgate.usage.middleware import UsageMiddleware
from asgi_llmgate.usage.record import UsageRecord
from asgi_llmgate.usage.sinks import Sink

__all__ = ["AccessLog", "Sink", "UsageMiddleware", "UsageRecord"]
