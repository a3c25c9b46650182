"""The gateway of a Django site: made from LLMGATE when asgi.py is imported, made again when a test changes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Protocol
from weakref import WeakSet

from django.apps import apps
from django.core.signals import setting_changed

import asgi_llmgate
from asgi_llmgate import Gateway, SettingsError, Sink
from llmgate_django.conf import NAME, Site, read
from llmgate_django.thread import DatabaseThread


class ASGIApp(Protocol):
    """Any ASGI application, and what `mount` gives."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


def mount(application: Callable[[Any, Any, Any], Awaitable[None]], prefix: str = "/llm", **options: Any) -> ASGIApp:
    """Serve the gateway that the Django setting LLMGATE describes under `prefix`, and everything else by `application`.

    `options` are those of `asgi_llmgate.mount`.  Raises SettingsError for a wrong setting: system checks do not run
    under gunicorn or uvicorn.
    """
    return asgi_llmgate.mount(application, prefix, SiteGateway(), **options)


class SiteGateway:
    """The gateway behind the setting as it is now."""

    mounted: ClassVar[WeakSet[SiteGateway]] = WeakSet()
    """Those that there are in this process."""

    def __init__(self) -> None:
        if not apps.ready:
            raise SettingsError("llmgate_django.mount() comes after get_asgi_application()")
        self._gateway = build(read())
        self._replaced: list[Gateway] = []
        setting_changed.connect(self._on_change)
        self.mounted.add(self)

    def _on_change(self, *, setting: str, value: Any = None, **_: Any) -> None:
        if setting == NAME and value is not None:
            gateway = build(read())
            self._replaced.append(self._gateway)
            self._gateway = gateway

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._replaced:
            await self._close_replaced()
        await self._gateway(scope, receive, send)

    async def startup(self) -> None:
        await self._gateway.startup()

    async def shutdown(self) -> None:
        await self._close_replaced()
        await self._gateway.shutdown()

    async def _close_replaced(self) -> None:
        while self._replaced:
            await self._replaced.pop().shutdown()


def build(site: Site) -> Gateway:
    """The gateway that a setting describes; opens nothing.  Raises SettingsError."""
    thread = DatabaseThread()
    sinks: list[Sink] = []
    session = None
    closing: list[Callable[[], Awaitable[None]]] = []
    if site.session:
        from llmgate_django.session import DjangoSession

        session = DjangoSession(thread)
    if site.ledger:
        from llmgate_django.ledger import DjangoLedger

        sinks.append(DjangoLedger(thread))
    if site.session or site.ledger:
        closing.append(thread.aclose)
    return Gateway.from_settings(site.settings, folder=site.folder, sinks=sinks, session=session, closing=closing)
