"""asgi-llmgate at home in Quart.

    app.config["LLMGATE"] = {"auth": {...}, "backends": {...}}   # the keys of llmgate.yaml, or such a file's path
    LLMGate(app)                                                 # the gateway is at /llm

The gateway wraps `app.asgi_app`, as Quart's documentation wants middleware to, so that no RESPONSE_TIMEOUT,
BODY_TIMEOUT or MAX_CONTENT_LENGTH applies to it; it starts and stops with Quart's own hooks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

try:
    from quart import Quart, request
except ImportError:
    raise ImportError("llmgate_quart needs Quart: pip install 'asgi-llmgate[quart]'") from None

from asgi_llmgate import Exchange, Gateway, Identity, SettingsError, mount

__all__ = ["LLMGate", "identity"]

NAME = "LLMGATE"


class LLMGate:
    """The extension: `LLMGate(app)`, or `init_app` later, where an application factory wants that.

    `prefix` is where the gateway is, `gateway` one that was made already instead of one from the configuration.  In
    `app.extensions["llmgate"]` is the gateway of an app.
    """

    def __init__(self, app: Quart | None = None, *, prefix: str = "/llm", gateway: Gateway | None = None) -> None:
        self._prefix = prefix
        self._gateway = gateway
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart) -> None:
        """Put the gateway in front of the app.  Raises SettingsError with the place of a mistake."""
        if "llmgate" in app.extensions:
            raise SettingsError("this app has a gateway already", path=NAME)
        gateway = self._gateway or _configured(app)
        app.asgi_app = mount(app.asgi_app, self._prefix, _Hooked(gateway))  # type: ignore[method-assign]
        app.before_serving(gateway.startup)
        app.after_serving(gateway.shutdown)
        app.extensions["llmgate"] = gateway


def identity() -> Identity:
    """Who sends the current request, in a view behind a JWTAuthMiddleware: `identity().claims["team"]`.

    Raises LookupError where no layer of asgi_llmgate is in front of the app.
    """
    return Exchange.of(request.scope).identity  # type: ignore[arg-type]


class _Hooked:
    """The gateway without its part in the lifespan protocol, which Quart's hooks play."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._gateway(scope, receive, send)

    async def startup(self) -> None:
        """Done by `before_serving`."""

    async def shutdown(self) -> None:
        """Done by `after_serving`."""


def _configured(app: Quart) -> Gateway:
    described = app.config.get(NAME)
    if isinstance(described, (str, os.PathLike)):
        return Gateway.from_file(os.path.join(app.root_path, described))
    if not isinstance(described, Mapping):
        hint = "a dict with the keys of llmgate.yaml, or the path of such a file"
        raise SettingsError(f'app.config["{NAME}"] is missing or no dict', hint=hint)
    return Gateway.from_settings(described, folder=app.root_path)
