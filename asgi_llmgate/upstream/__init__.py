"""Model servers: their settings, the requests that are sent to them, their credentials and corrections."""

from __future__ import annotations

from asgi_llmgate.upstream.backend import Backend
from asgi_llmgate.upstream.call import UpstreamCall
from asgi_llmgate.upstream.connection import Upstream
from asgi_llmgate.upstream.expiring_cache import ExpiringCache
from asgi_llmgate.upstream.oauth_credentials import ClientCredentials, TokenExchange

__all__ = [
    "Backend",
    "ClientCredentials",
    "ExpiringCache",
    "TokenExchange",
    "Upstream",
    "UpstreamCall",
]
