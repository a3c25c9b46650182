"""The gateway: the layers, in their order, as one ASGI app.

    Front -> usage -> auth -> policy, slots (by claims alone) -> resolve -> policy -> limits -> app

`Gateway` decides nothing itself.  It nests the layers, opens the exchange that they share (a child of the host's,
where the host runs layers of ours too), and closes at the end what they opened.  assembly/ makes one from settings.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from asgi_llmgate._types import ASGIApp, Receive, Scope, Send
from asgi_llmgate.asgi import Close, Draining, Front, Health, close_all, local_path, run_lifespan
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.routing.routes import ROUTES, Routes, find

if TYPE_CHECKING:
    from asgi_llmgate.auth import Session
    from asgi_llmgate.config import Layer
    from asgi_llmgate.config.schema import Settings
    from asgi_llmgate.usage import Sink


class Gateway:
    """The layers around `app`, which answers (a TranslationApp as a rule).

    `resolve` reads calls and finds their targets; `auth`, `policy`, `limits` and `usage` may each be left out.  What a
    policy or limits layer can say without the body (its `before_body`, if it has one) is asked before `resolve`.
    `routes` (the same as theirs) say in which envelope a refusal is told.
    `metadata` is the document that tells clients whom to ask for a token (auth.protected_resource).  `health` is what
    `/readyz` asks, beside `draining`, which is `app.draining` where the app has one.

    At the end the gateway closes `app` and the layers that it has built, by their `aclose` where they have one, and
    then calls `closing`, in order: all of them, whatever one of them raises.  What was given to a layer, such as a
    client that several share or a sink, belongs to who made it: put its `aclose` or `close` into `closing`.

        Gateway(
            TranslationApp({"openai": Backend(base_url=..., api_key=...)}, models=table),
            resolve=partial(ResolveMiddleware, models=table),
            auth=partial(JWTAuthMiddleware, providers=[...]),
            policy=partial(PolicyMiddleware, rules=[...]),
            usage=partial(UsageMiddleware, sinks=[log := AccessLog()]),
            closing=[log.close],
        )

    Raises SettingsError where `draining` is not the app's own.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        resolve: Layer,
        routes: Routes = ROUTES,
        auth: Layer | None = None,
        policy: Layer | None = None,
        limits: Layer | None = None,
        usage: Layer | None = None,
        metadata: Mapping[str, Any] | None = None,
        health: Iterable[Callable[[], Health]] = (),
        draining: Draining | None = None,
        closing: Iterable[Close] = (),
    ) -> None:
        self._draining = _shared(draining, getattr(app, "draining", None))
        ours = [app]
        early: list[Layer] = []
        for layer in (limits, policy):
            if layer is not None:
                app = layer(app)
                ours.append(app)
                if hasattr(app, "before_body"):
                    early.append(app.before_body)
        for layer in (resolve, *early, auth, usage):
            if layer is not None:
                app = layer(app)
                ours.append(app)
        self._health = tuple(health)
        document = None if metadata is None else lambda scope: metadata
        self._app = Front(app, health=self.health, metadata=document)
        self._routes = routes
        closes = (getattr(each, "aclose", None) for each in reversed(ours))
        self._closing: tuple[Close, ...] = (*filter(None, closes), *closing)

    @classmethod
    def from_settings(
        cls,
        settings: Settings | Mapping[str, Any],
        *,
        folder: str | os.PathLike[str] = ".",
        sinks: Iterable[Sink] = (),
        session: Session | None = None,
        closing: Iterable[Close] = (),
    ) -> Gateway:
        """The gateway that the settings describe; relative paths in them are relative to `folder`.

        What a host adds: `sinks` that get each record too, `session` for callers who are signed in to it
        (JWTAuthMiddleware), and `closing`, called when the gateway shuts down.  Raises SettingsError with the place of
        the mistake.
        """
        from asgi_llmgate.config import assemble

        return cls(**assemble(settings, Path(folder), sinks=sinks, session=session, closing=closing))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **added: Any) -> Gateway:
        """The gateway that a YAML file describes; relative paths in it are relative to its folder.

        `added` are the `sinks`, `session` and `closing` of `from_settings`.
        """
        from asgi_llmgate.config.schema import read_file

        return cls.from_settings(read_file(path), folder=Path(path).parent, **added)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await run_lifespan(self, scope, receive, send)
            return
        self._draining.listen()
        if scope["type"] == "http":
            scope, exchange = Exchange.child(scope)
            found = find(self._routes, local_path(scope))
            if found is not None:
                exchange.wire = found[0].wire
        with self._draining.request():
            await self._app(scope, receive, send)

    def health(self) -> Health:
        """What `/readyz` says."""
        states = [each() for each in self._health]
        draining = ("draining",) if self._draining.begun else ()
        return Health(
            broken=(*draining, *(name for state in states for name in state.broken)),
            limping=tuple(name for state in states for name in state.limping),
        )

    async def startup(self) -> None:
        """Nothing has to be opened before the first request; here for those who drive a lifespan."""

    async def shutdown(self) -> None:
        """End the calls of the running event loop that are still open, and close what belongs to it.

        May be repeated; the gateway may be used again.  What cannot be closed is logged.
        """
        await close_all((self._draining.finish, *self._closing))

    @asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncIterator[None]:
        """A lifespan for Starlette, FastAPI or Litestar, for hosts that mount the gateway in their own routing."""
        await self.startup()
        try:
            yield
        finally:
            await self.shutdown()

    async def __aenter__(self) -> Self:
        await self.startup()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shutdown()


def _shared(draining: Draining | None, apps: Draining | None) -> Draining:
    """The one that both go by.  Of two, one would wait for the streams and the other let them run."""
    if draining is not None and apps is not None and draining is not apps:
        raise SettingsError("the app has another one", path="draining", hint="leave it out, or give the app the same")
    return draining or apps or Draining()
