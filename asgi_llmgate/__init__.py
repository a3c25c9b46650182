"""An LLM gateway that your own web app mounts.

    from asgi_llmgate import Gateway, mount

    app = mount(app, "/llm", Gateway.from_file("llmgate.yaml"))

Public are the names here, and those that the subpackages `errors`, `auth`, `policy`, `usage`, `upstream` and `testing`
list.  Everything else is internal and may change in any release.

Names are imported when they are first used: a host that only protects a view with JWTAuthMiddleware loads no
translator.  Names that need packages of an extra are not in `__all__`, so that `import *` works without the extra.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from asgi_llmgate._version import __version__

if TYPE_CHECKING:
    from asgi_llmgate import auth as auth
    from asgi_llmgate import errors as errors
    from asgi_llmgate import policy as policy
    from asgi_llmgate import testing as testing
    from asgi_llmgate import upstream as upstream
    from asgi_llmgate import usage as usage
    from asgi_llmgate._types import ASGIApp, Layer, Message, Receive, Scope, Send
    from asgi_llmgate.asgi import Close, Draining, Health, Mountable, Mounted, mount, refuse
    from asgi_llmgate.auth import JWTAuthMiddleware, JWTProvider, Session
    from asgi_llmgate.config.checking.description import describe
    from asgi_llmgate.config.schema import Settings
    from asgi_llmgate.config.usage_report import usage_report
    from asgi_llmgate.endpoints.app import TranslationApp
    from asgi_llmgate.errors import GateError, SettingsError
    from asgi_llmgate.exchange import Exchange, Outcome, Tracing
    from asgi_llmgate.exchange_values import (
        Attempt,
        Call,
        Decision,
        Identity,
        Permits,
        RequestFeatures,
        ResponseMetadata,
        Target,
        ToolUse,
        Usage,
        Verdict,
        Wire,
    )
    from asgi_llmgate.gateway import Gateway
    from asgi_llmgate.limits import Admission, Claim, Limit, LimitMiddleware, Quota, Rate, Shortage, Store
    from asgi_llmgate.net import (
        CallableSource,
        CredentialSource,
        FileSecret,
        HTTPClient,
        HTTPResponse,
        OAuthClient,
        RequestURL,
        SecretSource,
        StaticSecret,
        Timeouts,
        parse_secret,
    )
    from asgi_llmgate.net.client import Fetch, Fetched
    from asgi_llmgate.page import OneTimeLink as OneTimeLink
    from asgi_llmgate.page import PageAuth as PageAuth
    from asgi_llmgate.page import UsagePage as UsagePage
    from asgi_llmgate.policy import PolicyMiddleware, Rule, condition, field
    from asgi_llmgate.protocol.rawjson.structure import Structure
    from asgi_llmgate.protocol.servers.dialects import DIALECTS, Dialect
    from asgi_llmgate.protocol.translation.request.target_format import Options
    from asgi_llmgate.route import Route, RouteMatch
    from asgi_llmgate.routing import ModelRow, ModelTable, Price
    from asgi_llmgate.routing.resolve import ResolveMiddleware
    from asgi_llmgate.routing.routes import ROUTES, Routes
    from asgi_llmgate.routing.table import Condition
    from asgi_llmgate.rule_variables import RuleVariables, Variable
    from asgi_llmgate.running_state import RunningState
    from asgi_llmgate.sealing import Sealer
    from asgi_llmgate.secret_values import Secret
    from asgi_llmgate.upstream import Backend, ClientCredentials, TokenExchange
    from asgi_llmgate.usage import AccessLog, Sink, UsageMiddleware, UsageRecord
    from asgi_llmgate.usage.ledger import Database as Database
    from asgi_llmgate.usage.ledger import Ledger as Ledger
    from asgi_llmgate.usage.ledger import LedgerState as LedgerState
    from asgi_llmgate.usage.verdicts import VerdictAudit, VerdictRecord

_HOMES = {
    "ASGIApp": "_types",
    "AccessLog": "usage",
    "Admission": "limits",
    "Attempt": "exchange_values",
    "Backend": "upstream",
    "Call": "exchange_values",
    "CallableSource": "net",
    "Claim": "limits",
    "ClientCredentials": "upstream",
    "Close": "asgi",
    "Condition": "routing.table",
    "CredentialSource": "net",
    "DIALECTS": "protocol.servers.dialects",
    "Decision": "exchange_values",
    "Dialect": "protocol.servers.dialects",
    "Draining": "asgi",
    "Exchange": "exchange",
    "Fetch": "net.client",
    "Fetched": "net.client",
    "FileSecret": "net",
    "GateError": "errors",
    "Gateway": "gateway",
    "HTTPClient": "net",
    "HTTPResponse": "net",
    "Health": "asgi",
    "Identity": "exchange_values",
    "JWTAuthMiddleware": "auth",
    "JWTProvider": "auth",
    "Layer": "_types",
    "Limit": "limits",
    "LimitMiddleware": "limits",
    "Message": "_types",
    "ModelRow": "routing",
    "ModelTable": "routing",
    "Mountable": "asgi",
    "Mounted": "asgi",
    "OAuthClient": "net",
    "Options": "protocol.translation.request.target_format",
    "Outcome": "exchange",
    "Permits": "exchange_values",
    "PolicyMiddleware": "policy",
    "Price": "routing",
    "Quota": "limits",
    "ROUTES": "routing.routes",
    "Rate": "limits",
    "Receive": "_types",
    "RequestFeatures": "exchange_values",
    "RequestURL": "net",
    "ResolveMiddleware": "routing.resolve",
    "ResponseMetadata": "exchange_values",
    "Route": "route",
    "RouteMatch": "route",
    "Routes": "routing.routes",
    "Rule": "policy",
    "RuleVariables": "rule_variables",
    "RunningState": "running_state",
    "Scope": "_types",
    "Sealer": "sealing",
    "Secret": "secret_values",
    "SecretSource": "net",
    "Send": "_types",
    "Session": "auth",
    "Settings": "config.schema",
    "SettingsError": "errors",
    "Shortage": "limits",
    "Sink": "usage",
    "StaticSecret": "net",
    "Store": "limits",
    "Structure": "protocol.rawjson.structure",
    "Target": "exchange_values",
    "Timeouts": "net",
    "TokenExchange": "upstream",
    "ToolUse": "exchange_values",
    "Tracing": "exchange",
    "TranslationApp": "endpoints.app",
    "Usage": "exchange_values",
    "UsageMiddleware": "usage",
    "UsageRecord": "usage",
    "Variable": "rule_variables",
    "Verdict": "exchange_values",
    "VerdictAudit": "usage.verdicts",
    "VerdictRecord": "usage.verdicts",
    "Wire": "exchange_values",
    "condition": "policy",
    "describe": "config.checking.description",
    "field": "policy",
    "mount": "asgi",
    "parse_secret": "net",
    "refuse": "asgi",
    "usage_report": "config.usage_report",
}
"""The module that each name is imported from."""

_EXTRAS = {
    "Database": "usage.ledger",
    "Ledger": "usage.ledger",
    "LedgerState": "usage.ledger",
    "OneTimeLink": "page",
    "PageAuth": "page",
    "UsagePage": "page",
}
"""The same for names that need an extra: `ledger` or `page`."""

_SUBPACKAGES = ("auth", "errors", "policy", "testing", "upstream", "usage")

__all__ = [
    "DIALECTS",
    "ROUTES",
    "ASGIApp",
    "AccessLog",
    "Admission",
    "Attempt",
    "Backend",
    "Call",
    "CallableSource",
    "Claim",
    "ClientCredentials",
    "Close",
    "Condition",
    "CredentialSource",
    "Decision",
    "Dialect",
    "Draining",
    "Exchange",
    "Fetch",
    "Fetched",
    "FileSecret",
    "GateError",
    "Gateway",
    "HTTPClient",
    "HTTPResponse",
    "Health",
    "Identity",
    "JWTAuthMiddleware",
    "JWTProvider",
    "Layer",
    "Limit",
    "LimitMiddleware",
    "Message",
    "ModelRow",
    "ModelTable",
    "Mountable",
    "Mounted",
    "OAuthClient",
    "Options",
    "Outcome",
    "Permits",
    "PolicyMiddleware",
    "Price",
    "Quota",
    "Rate",
    "Receive",
    "RequestFeatures",
    "RequestURL",
    "ResolveMiddleware",
    "ResponseMetadata",
    "Route",
    "RouteMatch",
    "Routes",
    "Rule",
    "RuleVariables",
    "RunningState",
    "Scope",
    "Sealer",
    "Secret",
    "SecretSource",
    "Send",
    "Session",
    "Settings",
    "SettingsError",
    "Shortage",
    "Sink",
    "StaticSecret",
    "Store",
    "Structure",
    "Target",
    "Timeouts",
    "TokenExchange",
    "ToolUse",
    "Tracing",
    "TranslationApp",
    "Usage",
    "UsageMiddleware",
    "UsageRecord",
    "Variable",
    "Verdict",
    "VerdictAudit",
    "VerdictRecord",
    "Wire",
    "__version__",
    "condition",
    "describe",
    "field",
    "mount",
    "parse_secret",
    "refuse",
    "usage_report",
]


# Hidden from type checkers: for them any name would exist.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """PEP 562.  Raises ImportError, with the extra to install, for a name whose packages are missing."""
        if name in _SUBPACKAGES:
            return importlib.import_module(f"{__name__}.{name}")  # binds the name in this module
        home = _HOMES.get(name) or _EXTRAS.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBPACKAGES})
