"""An LLM gateway that your own web app mounts.

    from asgi_llmgate import Gateway, mount

    app = mount(app, "/llm", Gateway.from_file("llmgate.yaml"))

Names are imported when they are first used: a host that only protects a view with JWTAuthMiddleware loads no
translator.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from asgi_llmgate._version import __version__

if TYPE_CHECKING:
    from asgi_llmgate.asgi import Draining, mount
    from asgi_llmgate.auth import JWTAuthMiddleware, JWTProvider
    from asgi_llmgate.config.description import describe
    from asgi_llmgate.endpoints.app import TranslationApp
    from asgi_llmgate.errors import GateError, SettingsError
    from asgi_llmgate.exchange import Exchange, Identity
    from asgi_llmgate.gateway import Gateway
    from asgi_llmgate.limits import Limit, LimitMiddleware
    from asgi_llmgate.net import CallableSource, CredentialSource, HTTPClient, OAuthClient, parse_secret
    from asgi_llmgate.page import OneTimeLink, UsagePage
    from asgi_llmgate.policy import PolicyMiddleware, Rule
    from asgi_llmgate.protocol.rawjson.structure import Structure
    from asgi_llmgate.routing import ModelRow, ModelTable
    from asgi_llmgate.routing.resolve import ResolveMiddleware
    from asgi_llmgate.upstream import Backend, ClientCredentials, TokenExchange
    from asgi_llmgate.usage import AccessLog, Sink, UsageMiddleware, UsageRecord
    from asgi_llmgate.usage.ledger import Ledger

_HOMES = {
    "AccessLog": "usage",
    "Backend": "upstream",
    "CallableSource": "net",
    "ClientCredentials": "upstream",
    "CredentialSource": "net",
    "Draining": "asgi",
    "Exchange": "exchange",
    "GateError": "errors",
    "Gateway": "gateway",
    "HTTPClient": "net",
    "Identity": "exchange",
    "JWTAuthMiddleware": "auth",
    "JWTProvider": "auth",
    "Ledger": "usage.ledger",
    "Limit": "limits",
    "LimitMiddleware": "limits",
    "ModelRow": "routing",
    "ModelTable": "routing",
    "OAuthClient": "net",
    "OneTimeLink": "page",
    "PolicyMiddleware": "policy",
    "ResolveMiddleware": "routing.resolve",
    "Rule": "policy",
    "SettingsError": "errors",
    "Sink": "usage",
    "Structure": "protocol.rawjson.structure",
    "TokenExchange": "upstream",
    "TranslationApp": "endpoints.app",
    "UsageMiddleware": "usage",
    "UsagePage": "page",
    "UsageRecord": "usage",
    "describe": "config.description",
    "mount": "asgi",
    "parse_secret": "net",
}

__all__ = [
    "AccessLog",
    "Backend",
    "CallableSource",
    "ClientCredentials",
    "CredentialSource",
    "Draining",
    "Exchange",
    "GateError",
    "Gateway",
    "HTTPClient",
    "Identity",
    "JWTAuthMiddleware",
    "JWTProvider",
    "Ledger",
    "Limit",
    "LimitMiddleware",
    "ModelRow",
    "ModelTable",
    "OAuthClient",
    "OneTimeLink",
    "PolicyMiddleware",
    "ResolveMiddleware",
    "Rule",
    "SettingsError",
    "Sink",
    "Structure",
    "TokenExchange",
    "TranslationApp",
    "UsageMiddleware",
    "UsagePage",
    "UsageRecord",
    "__version__",
    "describe",
    "mount",
    "parse_secret",
]


def __getattr__(name: str) -> object:
    """PEP 562."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
