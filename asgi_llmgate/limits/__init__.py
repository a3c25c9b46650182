"""How much: request rates and concurrency, per caller as a CEL expression tells them apart."""

from __future__ import annotations

from asgi_llmgate.limits.middleware import Limit, LimitMiddleware
from asgi_llmgate.limits.rates import Rate
from asgi_llmgate.limits.store import Admission, Claim, MemoryStore, Quota, Shortage, Store

__all__ = [
    "Admission",
    "Claim",
    "Limit",
    "LimitMiddleware",
    "MemoryStore",
    "Quota",
    "Rate",
    "Shortage",
    "Store",
]
