"""asgi-llmgate for Quart.

    app.config["LLMGATE"] = {"auth": {...}, "backends": {...}}   # the keys of llmgate.yaml, or such a file's path
    LLMGate(app)                                                 # the gateway is at /llm

The gateway wraps `app.asgi_app`, as Quart's documentation prescribes for middleware, so that RESPONSE_TIMEOUT,
BODY_TIMEOUT and MAX_CONTENT_LENGTH do not apply to it.  It starts and stops with Quart's hooks `before_serving` and
`after_serving`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from asgi_llmgate.extras import needs_extra

with needs_extra("quart", "llmgate_quart"):
    from quart import Quart, request

from asgi_llmgate import Exchange, Gateway, Identity, SettingsError, mount

__all__ = ["LLMGate", "identity"]

NAME = "LLMGATE"


class LLMGate:
    """The Quart extension: `LLMGate(app)`, or `init_app(app)` in an application factory.

    `prefix`: the path of the gateway.  `gateway`: a gateway to use in place of one from the configuration.
    `app.extensions["llmgate"]` is the gateway of an app.
    """

    def __init__(self, app: Quart | None = None, *, prefix: str = "/llm", gateway: Gateway | None = None) -> None:
        self._prefix = prefix
        self._gateway = gateway
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart) -> None:
        """Mount the gateway in the app.  Raises SettingsError with the place of the mistake."""
        if "llmgate" in app.extensions:
            raise SettingsError("this app has a gateway already: LLMGate was initialised twice", path=NAME)
        gateway = self._gateway or _gateway_from_config(app)
        app.asgi_app = mount(app.asgi_app, self._prefix, _WithoutLifespan(gateway))  # type: ignore[method-assign]
        app.before_serving(gateway.startup)
        app.after_serving(gateway.shutdown)
        app.extensions["llmgate"] = gateway


def identity() -> Identity:
    """The identity of the current request, in a view behind a JWTAuthMiddleware: `identity().claims["team"]`.

    Raises LookupError if no layer of asgi_llmgate is in front of the app.
    """
    return Exchange.of(request.scope).identity  # type: ignore[arg-type]


class _WithoutLifespan:
    """The gateway for `mount`, without start and stop: Quart's hooks do both, and would do it twice."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._gateway(scope, receive, send)

    async def startup(self) -> None:
        """Does nothing: `before_serving` starts the gateway."""

    async def shutdown(self) -> None:
        """Does nothing: `after_serving` stops the gateway."""


def _gateway_from_config(app: Quart) -> Gateway:
    described = app.config.get(NAME)
    if isinstance(described, (str, os.PathLike)):
        return Gateway.from_file(os.path.join(app.root_path, described))
    if not isinstance(described, Mapping):
        hint = "a dict with the keys of llmgate.yaml, or the path of such a file"
        raise SettingsError(f'app.config["{NAME}"] is missing or not a dict', hint=hint)
    return Gateway.from_settings(described, folder=app.root_path)
