"""Limits: rates of requests, and requests at once, per value of a CEL expression such as `jwt.team`."""

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
