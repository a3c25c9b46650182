"""The model servers: where each is, what it speaks, its key, and what it has taught us."""

from __future__ import annotations

from asgi_llmgate.upstream.attempt import Attempt
from asgi_llmgate.upstream.backend import Backend, Upstream
from asgi_llmgate.upstream.oauth import ClientCredentials, TokenExchange
from asgi_llmgate.upstream.outgoing import Asking, anthropic_headers, serves
from asgi_llmgate.upstream.remembered import Remembered

__all__ = [
    "Asking",
    "Attempt",
    "Backend",
    "ClientCredentials",
    "Remembered",
    "TokenExchange",
    "Upstream",
    "anthropic_headers",
    "serves",
]
