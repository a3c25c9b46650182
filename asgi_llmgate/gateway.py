"""The gateway: the layers, in their order, as one ASGI app.

    Front -> usage -> auth -> wrong paths -> policy, slots (by claims alone) -> resolve -> policy -> limits
          -> middleware -> endpoints

`Gateway` decides nothing itself.  It builds the layers and passes on to them what they share, opens the exchange (a
child of the host's, where the host also runs layers of this package), and closes at the end what they opened.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from asgi_llmgate._types import ASGIApp, Layer, Receive, Scope, Send
from asgi_llmgate.asgi import Close, Draining, Front, Health, close_all, run_lifespan
from asgi_llmgate.asgi.misdirected import WrongPaths, unmatched
from asgi_llmgate.endpoints.app import TranslationApp
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.mistakes import Mistakes, error_path
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.routing import ModelRow, ModelTable
from asgi_llmgate.routing.resolve import ResolveMiddleware
from asgi_llmgate.routing.routes import ROUTES, Routes, route_of
from asgi_llmgate.rule_variables import LIST_CLAIMS, NO_VARIABLES, Variable
from asgi_llmgate.running_state import RunningState
from asgi_llmgate.upstream import Backend
from asgi_llmgate.usage import UsageMiddleware

if TYPE_CHECKING:
    from asgi_llmgate.auth import Session
    from asgi_llmgate.config.schema import Settings
    from asgi_llmgate.usage import Sink

# Half of all modules, and a third of a second.  A process that only builds a gateway (a management command, a check of
# the settings) does without them.
_NEEDED_BY_THE_FIRST_REQUEST = ("joserfc.jwt",)  # cryptography; the HTTP client has modules of its own

_NO_BACKENDS: Mapping[str, Backend] = MappingProxyType({})


class Gateway:
    """The layers around the endpoints, which serve calls with `backends` (a TranslationApp).

        Gateway(
            backends={"openai": Backend(base_url=..., api_key=...)},
            models=[ModelRow("*", ("openai/gpt-5",))],
            auth=partial(JWTAuthMiddleware, providers=[...]),
            policy=partial(PolicyMiddleware, rules=[...]),
            sinks=[AccessLog()],
        )

    What several layers need is given to the gateway, once:

        backends     the model servers by name
        models       the rows of the model table, or a ModelTable
        routes       what each path under the mount is
        client       the HTTP client for model servers and identity providers; by default the gateway makes one
        list_claims  claims that are lists even where a token has a lone string
        variables    further variables for rules: name -> function of (exchange, scope)
        sinks        where usage records go
        draining     ends the calls that are open when the server stops
        state        what outlives a snapshot (running_state.py); by default the gateway makes one

    A layer is a callable that takes an app: a middleware class with its options bound by `functools.partial`.  One that
    has an option named like something in this list gets the gateway's.

        resolve      reads calls and finds their targets
        auth         who calls; None: every caller is anonymous
        policy       what they may do; None: everything
        limits       how often; None: unlimited
        usage        writes the usage records; without it a UsageMiddleware, where there are sinks
        middleware   further layers, the outermost first, between `limits` and the endpoints
        endpoints    makes the app that serves the routes; partial(TranslationApp, debug=True) sets options of it
        app          an ASGI app that is used instead of `endpoints` and `backends`

    What a policy or limits layer can decide without the body (its `before_body`, if it has one) is decided before
    `resolve`.  `metadata` is the document that tells clients whom to ask for a token (auth.protected_resource).
    `/readyz` asks `health`, the `health` of `auth` and of each sink that has one, and `draining`.

    At the end the gateway closes the layers that it has built and the sinks, by their `aclose` where they have one, its
    own client, and then calls `closing`, in order: all of them, also when one raises.  A client that was given is not
    closed: put its `aclose` into `closing`.

    Raises SettingsError, with the mistakes of the other layers as its `others`; for a layer's mistake with the name of
    the layer in its path.
    """

    def __init__(
        self,
        app: ASGIApp | None = None,
        *,
        models: ModelTable | Sequence[ModelRow],
        backends: Mapping[str, Backend] = _NO_BACKENDS,
        routes: Routes = ROUTES,
        client: HTTPClient | None = None,
        list_claims: Sequence[str] = LIST_CLAIMS,
        variables: Mapping[str, Variable] = NO_VARIABLES,
        sinks: Iterable[Sink] = (),
        draining: Draining | None = None,
        state: RunningState | None = None,
        resolve: Layer = ResolveMiddleware,
        auth: Layer | None = None,
        policy: Layer | None = None,
        limits: Layer | None = None,
        usage: Layer | None = None,
        middleware: Sequence[Layer] = (),
        endpoints: Callable[..., ASGIApp] = TranslationApp,
        metadata: Mapping[str, Any] | None = None,
        health: Iterable[Callable[[], Health]] = (),
        closing: Iterable[Close] = (),
    ) -> None:
        if app is not None and backends:
            raise SettingsError("either an app or backends, not both", path="backends")
        if not isinstance(models, ModelTable):
            models = ModelTable(models, {name: backend.vendor for name, backend in backends.items()})
        self._state = RunningState() if state is None else state
        self._draining = _shared_draining(draining, getattr(app, "draining", None)) or self._state.keep(
            "draining", "", None, Draining
        )
        sinks = tuple(sinks)
        self._client = client or self._state.keep("client", "", None, HTTPClient)
        shared = _Shared(
            {
                "backends": backends,
                "models": models,
                "routes": routes,
                "client": self._client,
                "list_claims": tuple(list_claims),
                "variables": variables,
                "sinks": sinks,
                "draining": self._draining,
                "state": self._state,
            },
            may_differ=[name for name, value in (("client", client), ("sinks", sinks)) if not value],
        )
        mistakes = Mistakes()
        built: list[Any] = [app]
        if app is None:
            with mistakes.under():
                built[0] = shared.build("endpoints", endpoints)
        for layer in reversed(middleware):
            with mistakes.under():
                built.append(shared.build("middleware", layer, built[-1]))
        early: list[Layer] = []
        for path, optional in (("limits", limits), ("policy", policy)):
            if optional is not None:
                with mistakes.under():
                    built.append(shared.build(path, optional, built[-1]))
                    if hasattr(built[-1], "before_body"):
                        early.append(built[-1].before_body)
        if usage is None and sinks:
            usage = UsageMiddleware
        public = "" if metadata is None else str(metadata.get("resource", ""))
        wrong_paths = partial(WrongPaths, public=public)
        layers: list[tuple[str, Layer | None]] = [
            ("resolve", resolve),
            *[("", layer) for layer in early],
            ("routes", wrong_paths),
            ("auth", auth),
            ("usage", usage),
        ]
        checked: list[Callable[[], Health]] = []
        for path, optional in layers:
            if optional is not None:
                with mistakes.under():
                    built.append(shared.build(path, optional, built[-1]))
                    if path == "auth":
                        checked = _methods(built[-1:], "health")
        mistakes.raise_if_any()
        self._health = (*health, *checked, *_methods(sinks, "health"))
        document = None if metadata is None else lambda scope: metadata
        self._snapshot = Snapshot(Front(built[-1], health=self.health, metadata=document), routes, variables)
        self._layers_closing = _methods(reversed(built), "aclose")
        self._closing: tuple[Close, ...] = (*_methods(sinks, "aclose"), *closing)

    @classmethod
    def from_settings(
        cls,
        settings: Settings | Mapping[str, Any],
        *,
        folder: str | os.PathLike[str] = ".",
        sinks: Iterable[Sink] = (),
        middleware: Sequence[Layer] = (),
        variables: Mapping[str, Variable] = NO_VARIABLES,
        session: Session | None = None,
        state: RunningState | None = None,
        closing: Iterable[Close] = (),
    ) -> Gateway:
        """The gateway that the settings describe; relative paths in them are relative to `folder`.

        What a host adds: `sinks` that get each record too, `middleware`, `variables` and `state` as above, `session`
        for callers who are signed in to the host (JWTAuthMiddleware), and `closing`, called when the gateway shuts
        down.  Raises SettingsError with the path of the mistake.
        """
        from asgi_llmgate.config.build import make_parts

        state = RunningState() if state is None else state
        mistakes = Mistakes()
        parts = make_parts(settings, Path(folder), state, mistakes, sinks=sinks, variables=variables, session=session)
        with mistakes.under():
            made = cls(**parts, middleware=middleware, closing=closing)
        mistakes.raise_if_any()
        return made

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        sinks: Iterable[Sink] = (),
        middleware: Sequence[Layer] = (),
        variables: Mapping[str, Variable] = NO_VARIABLES,
        session: Session | None = None,
        state: RunningState | None = None,
        closing: Iterable[Close] = (),
    ) -> Gateway:
        """The gateway that a YAML file describes; relative paths in it are relative to its folder.

        The options are those of `from_settings`.  Raises SettingsError, also if the file cannot be read.
        """
        from asgi_llmgate.config.schema import read_file

        return cls.from_settings(
            read_file(path),
            folder=Path(path).parent,
            sinks=sinks,
            middleware=middleware,
            variables=variables,
            session=session,
            state=state,
            closing=closing,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await run_lifespan(self, scope, receive, send)
            return
        over = self._draining.begin_request()
        snapshot = self._snapshot  # once: a request ends under the settings that it began under
        try:
            if scope["type"] == "http":
                scope, exchange = Exchange.child(scope)
                exchange.further_variables = snapshot.variables
                route_of(exchange, scope, snapshot.routes)
            await snapshot.app(scope, receive, send)
        finally:
            self._draining.end_request(over)

    def health(self) -> Health:
        """What `/readyz` says."""
        states = [each() for each in self._health]
        draining = ("draining",) if self._draining.begun else ()
        return Health(
            broken=(*draining, *(name for state in states for name in state.broken)),
            limping=tuple(name for state in states for name in state.limping),
        )

    async def startup(self) -> None:
        """Import what the first request needs.  For callers that run a lifespan; without one, that request imports it.

        Nothing is opened: connections belong to the requests that need them.
        """
        for name in _NEEDED_BY_THE_FIRST_REQUEST:
            importlib.import_module(name)
        self._client.load()

    async def shutdown(self) -> None:
        """End the calls of the running event loop that are still open, and close what belongs to it.

        May be repeated; the gateway may be used again.  What cannot be closed is logged.
        """
        closing = [self._draining.finish, *self._layers_closing, *self._state.closing(), *self._closing]
        await close_all(dict.fromkeys(closing))  # a sink may be in the state too

    @asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncIterator[None]:
        """A lifespan for Starlette, FastAPI or Litestar, for hosts that mount the gateway in their own routing.

        With the app as `app`, calls that miss the mount in Starlette and FastAPI are told its path.
        """
        await self.startup()
        try:
            with unmatched(app, self):
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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is made from settings and never changes: the layers around the endpoints, routes, further variables."""

    app: ASGIApp
    routes: Routes
    variables: Mapping[str, Variable]


class _Shared:
    """The options that layers share, by name.

    `may_differ` are those for which a layer may have a value of its own, because the gateway was given none.
    """

    def __init__(self, options: Mapping[str, Any], *, may_differ: Sequence[str]) -> None:
        self._options = options
        self._may_differ = may_differ

    def build(self, path: str, make: Callable[..., ASGIApp], *arguments: ASGIApp) -> Any:
        """Call `make` with the shared options that it has.

        Raises SettingsError, also for a shared option that is bound already: a difference would not be noticed.
        """
        bound = getattr(make, "keywords", {})  # of a functools.partial
        options = {}
        with error_path(path):
            for name in self._options.keys() & _parameters(make):
                if name not in bound:
                    options[name] = self._options[name]
                elif name not in self._may_differ:
                    hint = f"leave it out here: the layers share the gateway's {name}"
                    raise SettingsError("this option belongs to Gateway, not to a layer", path=name, hint=hint)
            return make(*arguments, **options)


def _parameters(make: Callable[..., ASGIApp]) -> Set[str]:
    """The names of its parameters; none where Python cannot tell, as for a class that Cython has compiled."""
    try:
        return inspect.signature(make).parameters.keys()
    except ValueError:
        return frozenset()


def _methods(objects: Iterable[Any], name: str) -> list[Callable[..., Any]]:
    """The methods of this name, of those objects that have one."""
    return [method for each in objects if (method := getattr(each, name, None)) is not None]


def _shared_draining(draining: Draining | None, apps: Draining | None) -> Draining | None:
    """The one that was given; of two, one would end the streams and the other let them run.  Raises SettingsError."""
    if draining is not None and apps is not None and draining is not apps:
        raise SettingsError(
            "the app has another Draining object", path="draining", hint="leave it out, or give the app the same"
        )
    return draining or apps
