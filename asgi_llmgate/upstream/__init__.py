"""Model servers: their settings, the requests that are sent to them, their credentials and corrections."""

from __future__ import annotations

from asgi_llmgate.protocol.servers.dialects import DIALECTS, Dialect
from asgi_llmgate.protocol.translation.request.chat_request import Options
from asgi_llmgate.upstream.backend import Backend
from asgi_llmgate.upstream.call import UpstreamCall as UpstreamCall  # for the package itself, as are the next three
from asgi_llmgate.upstream.connection import Upstream as Upstream
from asgi_llmgate.upstream.connection import open_upstreams as open_upstreams
from asgi_llmgate.upstream.expiring_cache import ExpiringCache as ExpiringCache
from asgi_llmgate.upstream.oauth_credentials import ClientCredentials, TokenExchange

__all__ = ["DIALECTS", "Backend", "ClientCredentials", "Dialect", "Options", "TokenExchange"]
