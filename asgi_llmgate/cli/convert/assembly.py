"""The sections of the settings, put together in the order in which people read them."""

from __future__ import annotations

from typing import Any

from asgi_llmgate.cli.convert.kubernetes.authentication import Authentication
from asgi_llmgate.cli.convert.kubernetes.authorization import Authorization
from asgi_llmgate.cli.convert.writer import noted


def assemble(
    authentication: Authentication,
    authorization: Authorization,
    *,
    backends: dict[str, Any],
    models: list[Any],
    routes: dict[str, Any],
    limits: list[Any],
    fields: dict[str, Any],
    server: dict[str, Any],
) -> dict[str, Any]:
    """The settings."""
    found: dict[str, Any] = {
        "auth": authentication.settings(),
        "policy": _policy(authentication, authorization),
        "backends": backends,
        "models": models,
    }
    if routes:
        found["routes"] = noted(routes, "beside /v1/messages, /v1/messages/count_tokens and /v1/models")
    if limits:
        found["limits"] = limits
    if fields:
        found["usage"] = {"fields": fields}
    if server:
        found["server"] = server
    return found


def _policy(authentication: Authentication, authorization: Authorization) -> Any:
    if authentication.replaced and not authentication.providers:
        ways = ", ".join(dict.fromkeys(authentication.replaced))
        note = f"{ways} is not there, so nobody is let in: set auth.providers, then remove this rule"
        authorization.close("no-identity", note)
    authorization.finish()
    rules = [*authentication.rules(), *authorization.rules]
    if rules:
        return {"rules": rules}
    return noted({"default": "allow"}, "no policy of the files has authorization, so all callers are allowed")
