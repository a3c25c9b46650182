"""From settings to the parts of a gateway: each section becomes what it describes, and each mistake keeps its path."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from asgi_llmgate import settings as shape
from asgi_llmgate._types import ASGIApp
from asgi_llmgate.app import TranslationApp
from asgi_llmgate.asgi import Draining, Health
from asgi_llmgate.auth import (
    URL,
    Discovery,
    File,
    Inline,
    Introspection,
    JWTAuthMiddleware,
    JWTProvider,
    Session,
    metadata_url,
    protected_resource,
    provider,
)
from asgi_llmgate.auth.sources import KeySource
from asgi_llmgate.credentials import credential, oauth_client
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.limits import Limit, LimitMiddleware
from asgi_llmgate.models import ModelRow, ModelTable, Price
from asgi_llmgate.net import HTTPClient, Timeouts
from asgi_llmgate.policy import PolicyMiddleware, condition, field, read_authorization
from asgi_llmgate.protocol.dialects import derive
from asgi_llmgate.protocol.request import Options
from asgi_llmgate.resolve import ResolveMiddleware
from asgi_llmgate.routes import KINDS, ROUTES, Route, Routes
from asgi_llmgate.upstream import Backend
from asgi_llmgate.usage import AccessLog, Sink, UsageMiddleware
from asgi_llmgate.usage.prices import Costs, genai_prices
from asgi_llmgate.usage.record import Cost, Field

if TYPE_CHECKING:
    from asgi_llmgate.usage.ledger import Ledger

Layer = Callable[[ASGIApp], ASGIApp]
"""What puts a layer in front of an app: a middleware class with its options, `partial(JWTAuthMiddleware, ...)`."""


class Parts(TypedDict):
    """What Gateway is made of."""

    app: ASGIApp
    routes: Routes
    resolve: Layer
    auth: Layer
    policy: Layer
    limits: Layer | None
    usage: Layer
    metadata: Mapping[str, Any] | None
    health: Sequence[Callable[[], Health]]
    draining: Draining
    closing: Sequence[Callable[[], Awaitable[None] | None]]


def assemble(
    mapping: shape.Settings | Mapping[str, Any],
    folder: Path,
    *,
    sinks: Iterable[Sink] = (),
    session: Session | None = None,
    closing: Iterable[Callable[[], Awaitable[None] | None]] = (),
) -> Parts:
    """What the settings describe, with what a host adds to it; relative paths are relative to `folder`.

    Raises SettingsError.
    """
    settings = mapping if isinstance(mapping, shape.Settings) else shape.read_settings(mapping)
    client = http_client(settings.net, folder)
    backends = {name: _backend(name, backend, settings, client, folder) for name, backend in settings.backends.items()}
    rows = [model_row(row, f"models[{index}]") for index, row in enumerate(settings.models)]
    models = ModelTable(rows, {name: backend.provider for name, backend in backends.items()})
    routes = _routes(settings.routes, backends)
    limit = shape.parse_size(settings.server.body_limit, "server.body_limit")
    providers = token_providers(settings, folder)
    log = AccessLog(settings.usage.access_log.format, _inside(folder, settings.usage.access_log.file))
    kept = [] if settings.usage.ledger is None else [make_ledger(settings.usage.ledger, folder)]
    listed = settings.policy.list_claims
    draining = Draining(after=settings.server.drain.after, signal=settings.server.drain.signal)
    app = TranslationApp(
        backends,
        models=models,
        routes=routes,
        client=client,
        ping_interval=settings.translation.ping_interval,
        client_stall=settings.server.client_stall,
        draining=draining,
        debug=settings.server.debug,
        list_claims=listed,
    )
    return Parts(
        app=app,
        routes=routes,
        resolve=_layer("models", ResolveMiddleware, models=models, routes=routes, body_limit=limit, list_claims=listed),
        auth=_auth(settings.auth, providers, client, session),
        policy=policy_layer(settings.policy, folder),
        limits=_limits(settings.limits, listed),
        usage=_usage(settings, [log, *kept, *sinks], models, routes),
        metadata=_metadata(settings.auth, providers),
        health=[each.health for each in kept],
        draining=draining,
        closing=[client.aclose, *[each.aclose for each in kept], log.close, *closing],
    )


@contextlib.contextmanager
def _at(path: str) -> Iterator[None]:
    """Puts the place in front of the path that a SettingsError already has."""
    try:
        yield
    except SettingsError as error:
        if error.path.startswith(path):
            raise
        joined = f"{path}.{error.path}".rstrip(".") if not error.path.startswith("[") else path + error.path
        raise SettingsError(error.message, path=joined, hint=error.hint) from None


def _layer(path: str, middleware: Callable[..., ASGIApp], **options: Any) -> Layer:
    """A layer with its options bound, whose mistakes are in a section of the settings."""

    def layer(app: ASGIApp) -> ASGIApp:
        with _at(path):
            return middleware(app, **options)

    return layer


def http_client(net: shape.Net, folder: Path) -> HTTPClient:
    """The way out that the settings describe.  Raises SettingsError."""

    def path(name: str | None) -> str | None:
        return None if name is None else str(folder / name)

    with _at("net"):
        return HTTPClient(
            proxy=net.proxy,
            ca_file=path(net.ca_file),
            client_cert=path(net.client_cert),
            client_key=path(net.client_key),
        )


def _backend(name: str, backend: shape.Backend, settings: shape.Settings, client: HTTPClient, folder: Path) -> Backend:
    path = f"backends.{name}"
    with _at(f"{path}.dialect"):
        overrides = dict(backend.dialect) if isinstance(backend.dialect, dict) else {"base": backend.dialect}
        dialect = derive(overrides.pop("base", "openai"), overrides)
    with _at(f"{path}.base_url"):
        _require_url(backend.base_url)
    with _at(f"{path}.api_key"):
        api_key = credential(backend.api_key, client, folder)
        if api_key is not None and api_key.needs_token and settings.auth.mode == "off":
            raise SettingsError("auth.mode is off, so callers have no token to exchange", path="token_exchange")
    translation = settings.translation
    return Backend(
        base_url=backend.base_url,
        provider=backend.provider or dialect.name,
        dialect=dialect,
        api_key=api_key,
        extra_headers=backend.extra_headers,
        options=Options(
            unsupported_tools=translation.unsupported_tools,
            repair_tool_pairs=translation.repair_tool_pairs,
            tool_references=translation.tool_references,
            response_model=translation.response_model,
            strict=translation.strict,
            user_id=translation.user_id,
            extra_body=backend.extra_body,
        ),
        timeouts=Timeouts(**msgspec.structs.asdict(backend.timeouts)),
    )


def _require_url(text: str, example: str = "https://api.openai.com/v1") -> None:
    scheme, _, rest = text.partition("://")
    if scheme not in ("http", "https") or not rest:
        raise SettingsError(f"not a URL: {text!r}", hint=f"such as {example}")


def _require_readable(file: Path, path: str) -> None:
    """What is read at the first request is looked at now, so that nothing starts half-configured."""
    try:
        file.open("rb").close()
    except OSError as error:
        hint = "to try things out, `llmgate mint` makes one"
        raise SettingsError(f"cannot read {file}: {error.strerror}", path=path, hint=hint) from None


def model_row(row: shape.Model, path: str) -> ModelRow:
    """A row of `models`, which stands at `path`.  Raises SettingsError."""
    with _at(f"{path}.when"):
        when = None if row.when is None else condition(row.when)
    given = (row.prices,) if isinstance(row.prices, shape.Prices) else row.prices
    return ModelRow(
        match=row.match,
        use=(row.use,) if isinstance(row.use, str) else row.use,
        when=when,
        listed=row.listed,
        display_name=row.display_name,
        max_output_tokens=row.max_output_tokens,
        context_window=row.context_window,
        prices=tuple(_price(price, path) for price in given),
    )


def _price(price: shape.Prices, path: str) -> Price:
    amounts = msgspec.structs.asdict(price)
    for name, amount in amounts.items():
        if amount is not None and amount < 0:
            raise SettingsError("a price is not negative", path=f"{path}.prices.{name}")
    if all(amount is None for amount in (price.input, price.output, price.gpu_hour)):
        raise SettingsError("no price", path=f"{path}.prices", hint="input and output per million tokens, or gpu_hour")
    return Price(**amounts)


def _routes(routes: Mapping[str, str | shape.Passthrough], backends: Mapping[str, Backend]) -> Routes:
    return {**ROUTES, **{path: _route(path, kind, backends) for path, kind in routes.items()}}


def _route(path: str, described: str | shape.Passthrough, backends: Mapping[str, Backend]) -> Route:
    place = f"routes.{path}"
    if not path.startswith("/") or path.endswith("/"):
        raise SettingsError("a path starts with a slash and does not end in one", path=place)
    if isinstance(described, shape.Passthrough):
        if described.passthrough not in backends:
            hint = "backends: " + ", ".join(sorted(backends))
            raise SettingsError(
                f"no backend is named {described.passthrough!r}", path=f"{place}.passthrough", hint=hint
            )
        return Route("passthrough", described.passthrough)
    for kind in KINDS:
        if kind == described and kind != "passthrough":
            return Route(kind)
    if described == "passthrough":
        raise SettingsError("a passthrough names its backend", path=place, hint="{passthrough: BACKEND}")
    known = ", ".join(kind for kind in KINDS if kind != "passthrough")
    raise SettingsError(
        f"no such route type: {described!r}", path=place, hint=f"one of {known}, {{passthrough: BACKEND}}"
    )


def token_providers(settings: shape.Settings, folder: Path) -> list[JWTProvider]:
    """Those whose tokens are accepted, `auth.providers`.  Raises SettingsError."""
    providers = []
    for index, described in enumerate(settings.auth.providers):
        with _at(f"auth.providers[{index}]"):
            providers.append(_provider(described, folder))
    return providers


def _auth(auth: shape.Auth, providers: Sequence[JWTProvider], client: HTTPClient, session: Session | None) -> Layer:
    return _layer(
        "auth",
        JWTAuthMiddleware,
        providers=providers,
        mode=auth.mode,
        token_sources=auth.token_sources,
        cache_ttl=auth.cache_ttl,
        max_token_size=auth.max_token_size,
        strip_credentials=True,
        resource_metadata=metadata_url(auth.protected_resource.url) if auth.protected_resource else None,
        session=session,
        client=client,
    )


def _metadata(auth: shape.Auth, providers: Sequence[JWTProvider]) -> Mapping[str, Any] | None:
    resource = auth.protected_resource
    if resource is None:
        return None
    with _at("auth.protected_resource.url"):
        _require_url(resource.url, "https://apps.acme.test/llm")
    return protected_resource(resource.url.rstrip("/"), providers, name=resource.name)


def _provider(described: shape.Provider, folder: Path) -> JWTProvider:
    options = msgspec.structs.asdict(described)
    issuer, issuers = options.pop("issuer"), options.pop("issuers")
    options["jwks"] = _keys(described.jwks, folder)
    if (asked := described.introspection) is not None:
        with _at("introspection"):
            options["introspection"] = Introspection(asked.url, oauth_client(asked, folder), asked.tokens)
    for name in ("required_values", "required_scopes", "client_ids", "profile"):
        options[name] = options[name] or None  # left out, a preset's own counts
    return provider(options.pop("preset"), issuers=[issuer, *issuers] if issuer else issuers, **options)


def _keys(jwks: shape.Jwks | None, folder: Path) -> KeySource | None:
    if jwks is None:
        return None
    if sum(map(bool, (jwks.inline, jwks.file, jwks.url, jwks.discovery))) != 1:
        raise SettingsError("say where the keys are: one of inline, file, url, discovery", path="jwks")
    if jwks.file is not None:
        _require_readable(folder / jwks.file, "jwks.file")
        return File(folder / jwks.file)
    if jwks.url is not None:
        return URL(jwks.url, token_file=_inside(folder, jwks.token_file), ca_file=_inside(folder, jwks.ca_file))
    return Discovery() if jwks.inline is None else Inline(jwks.inline)


def policy_layer(policy: shape.Policy, folder: Path) -> Layer:
    """The `policy` section; its file is relative to `folder`.  Raises SettingsError."""
    with _at("policy"):
        authorization = read_authorization(policy.authorization) if policy.authorization is not None else []
    return _layer(
        "policy",
        PolicyMiddleware,
        rules=[*policy.rules, *authorization],
        default=policy.default,
        engine=policy.engine,
        deny_subjects=_inside(folder, policy.deny_subjects.file if policy.deny_subjects else None),
        list_claims=policy.list_claims,
        denied_model_status=policy.denied_model_status,
    )


def _limits(limits: Sequence[shape.Limit], list_claims: Sequence[str]) -> Layer | None:
    if not limits:
        return None
    made = []
    for index, limit in enumerate(limits):
        with _at(f"limits[{index}]"):
            made.append(Limit(**msgspec.structs.asdict(limit)))
    return _layer("limits", LimitMiddleware, limits=made, list_claims=list_claims)


def _usage(settings: shape.Settings, sinks: list[Sink], models: ModelTable, routes: Routes) -> Layer:
    usage, fields = settings.usage, _fields(settings.usage.fields, settings.policy.list_claims)
    bounds: dict[str, Any] = {"models": models.models(), "fields": fields}
    options: dict[str, Any] = {
        "sinks": sinks,
        "fields": fields,
        "cost": _costs(settings),
        "debug": settings.server.debug,
    }
    if usage.prometheus:
        prometheus = shape.PrometheusSettings() if usage.prometheus is True else usage.prometheus
        with _at("usage.prometheus"), _extra("prometheus"):
            from asgi_llmgate.usage.prometheus import Prometheus

            sinks.append(Prometheus(labels=prometheus.labels, **bounds))
    if not usage.otel:
        return _layer("usage", UsageMiddleware, **options)
    otel = shape.Otel() if usage.otel is True else usage.otel
    with _at("usage.otel"), _extra("otel"):
        from asgi_llmgate.usage.otel import OpenTelemetry
        from asgi_llmgate.usage.serverspan import ServerSpan

        telemetry = OpenTelemetry(otel.semconv, labels=otel.labels, traceparent=otel.traceparent, **bounds)
    sinks.append(telemetry)
    layer = _layer("usage", UsageMiddleware, tracing=telemetry, **options)
    return (lambda app: ServerSpan(layer(app), routes=routes)) if otel.server_span else layer


@contextlib.contextmanager
def _extra(name: str) -> Iterator[None]:
    """A setting that needs packages which not everybody has."""
    try:
        yield
    except ImportError as error:
        raise SettingsError(f"needs {error.name}", hint=f"pip install 'asgi-llmgate[{name}]'") from None


def _fields(fields: Mapping[str, str], list_claims: Sequence[str]) -> Mapping[str, Field]:
    made = {}
    for name, text in fields.items():
        with _at(f"usage.fields.{name}"):
            made[name] = field(text, list_claims)
    return made


def _costs(settings: shape.Settings) -> Cost | None:
    """Nothing is counted where nothing has a price."""
    if settings.usage.prices is not None:
        with _at("usage.prices"):
            return Costs(genai_prices())
    return Costs() if any(row.prices for row in settings.models) else None


def make_ledger(settings: shape.LedgerSettings, folder: Path) -> Ledger:
    """The ledger that a section of the settings describes.  Raises SettingsError."""
    with _at("usage.ledger"), _extra("ledger"):
        from asgi_llmgate.usage.ledger import Ledger, parse_url
    with _at("usage.ledger.url"):
        url = parse_url(settings.url, folder)
    journal = folder / settings.journal
    _require_writable(journal, "usage.ledger.journal")
    if url.get_backend_name() == "sqlite":
        _require_writable(Path(url.database or "").parent, "usage.ledger.url")
    keep = None if settings.keep is None else shape.parse_duration(settings.keep, "usage.ledger.keep")
    return Ledger(url, journal=journal, keep=keep)


def _require_writable(place: Path, path: str) -> None:
    """A folder that is there or can be made; it is not made now, since `llmgate check` comes here as well."""
    found = place.absolute()
    while not found.exists() and found != found.parent:
        found = found.parent
    if not (found.is_dir() and os.access(found, os.W_OK | os.X_OK)):
        raise SettingsError(f"cannot write in {found}", path=path)


def _inside(folder: Path, name: str | None) -> Path | None:
    return None if name is None else folder / name
