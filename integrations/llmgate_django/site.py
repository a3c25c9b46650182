"""The gateway of a Django site, made from the setting LLMGATE when asgi.py is imported."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Protocol
from weakref import WeakSet

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

import asgi_llmgate
from asgi_llmgate import Gateway, SettingsError, Sink
from llmgate_django.conf import NAME, Site, read
from llmgate_django.thread import DatabaseThread


class ASGIApp(Protocol):
    """An ASGI application, with the types that both Django and asgi_llmgate accept."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


def mount(application: Callable[[Any, Any, Any], Awaitable[None]], prefix: str = "/llm", **options: Any) -> ASGIApp:
    """Serve the gateway of the Django setting LLMGATE under `prefix`, and `application` everywhere else.

    `options` are those of `asgi_llmgate.mount`.  Raises SettingsError for a wrong setting, since gunicorn and uvicorn
    run no system checks.  With DEBUG, the static files of django.contrib.staticfiles are served too.
    """
    return asgi_llmgate.mount(_with_static_files(application), prefix, SiteGateway(), **options)


def _with_static_files(application: Callable[[Any, Any, Any], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """The application with the handler that `runserver` puts in front of it: uvicorn would show an admin without
    styles.  Not without DEBUG, where a site has a server for them (https://docs.djangoproject.com/en/5.2/howto/static-files/).
    """
    if not (settings.DEBUG and apps.is_installed("django.contrib.staticfiles") and settings.STATIC_URL):
        return application
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

    if isinstance(application, ASGIStaticFilesHandler):
        return application
    try:
        return ASGIStaticFilesHandler(application)  # type: ignore[arg-type]  # it calls any ASGI application
    except ImproperlyConfigured:  # such as one folder for static and uploaded files: only these files are missing then
        return application


class SiteGateway:
    """The gateway of the current setting.  A test that changes the setting gets a new gateway."""

    mounted: ClassVar[WeakSet[SiteGateway]] = WeakSet()
    """All instances in this process, for the system checks."""

    def __init__(self) -> None:
        if not apps.ready:
            raise SettingsError(
                "llmgate_django.mount() was called before Django was set up", hint="call get_asgi_application() first"
            )
        self._gateway = build(read())
        self._replaced: list[Gateway] = []
        setting_changed.connect(self._on_change)
        self.mounted.add(self)

    def _on_change(self, *, setting: str, value: Any = None, **_: Any) -> None:
        if setting == NAME and value is not None:
            # Built first: after an error in the new setting the old gateway stays.
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
    """The gateway of a setting.  Opens no file and no connection.  Raises SettingsError."""
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
