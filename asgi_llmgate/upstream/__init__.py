"""The model servers: where each is, what it speaks, its key, and what it has taught us."""

from __future__ import annotations

from asgi_llmgate.upstream.attempt import Attempt
from asgi_llmgate.upstream.backend import Backend, Upstream
from asgi_llmgate.upstream.expiring_cache import ExpiringCache
from asgi_llmgate.upstream.oauth_credentials import ClientCredentials, TokenExchange
from asgi_llmgate.upstream.outgoing import Asking

__all__ = [
    "Asking",
    "Attempt",
    "Backend",
    "ClientCredentials",
    "ExpiringCache",
    "TokenExchange",
    "Upstream",
]
