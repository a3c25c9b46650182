"""All sections of the settings together: the parts of a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from asgi_llmgate._types import ASGIApp, Layer
from asgi_llmgate.asgi import Close, Draining, Health
from asgi_llmgate.auth import Session
from asgi_llmgate.config import schema as shape
from asgi_llmgate.config.auth import auth_layer, metadata, token_providers
from asgi_llmgate.config.backends import http_client, make_backend, make_routes, model_row
from asgi_llmgate.config.checks import inside
from asgi_llmgate.config.open_files import check_descriptors
from asgi_llmgate.config.policy import limits_layer, policy_layer
from asgi_llmgate.config.server import resolve_layer
from asgi_llmgate.config.usage import make_ledger, make_sinks, usage_layer
from asgi_llmgate.endpoints.app import TranslationApp
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.routing import ModelTable
from asgi_llmgate.routing.routes import Routes
from asgi_llmgate.rule_variables import NO_VARIABLES, Variable
from asgi_llmgate.upstream import Backend
from asgi_llmgate.usage import AccessLog, Sink


class Parts(TypedDict):
    """Arguments of Gateway."""

    backends: Mapping[str, Backend]
    models: ModelTable
    routes: Routes
    client: HTTPClient
    list_claims: Sequence[str]
    sinks: Sequence[Sink]
    draining: Draining
    resolve: Layer
    auth: Layer
    policy: Layer
    limits: Layer | None
    usage: Layer
    endpoints: Callable[..., ASGIApp]
    metadata: Mapping[str, Any] | None
    health: Sequence[Callable[[], Health]]
    closing: Sequence[Close]


def make_parts(
    mapping: shape.Settings | Mapping[str, Any],
    folder: Path,
    *,
    sinks: Iterable[Sink] = (),
    variables: Mapping[str, Variable] = NO_VARIABLES,
    session: Session | None = None,
) -> Parts:
    """What the settings describe, with what a host adds to it; relative paths are relative to `folder`.

    Raises SettingsError.
    """
    settings = mapping if isinstance(mapping, shape.Settings) else shape.read_settings(mapping)
    check_descriptors(settings.server.streams)
    client = http_client(settings.net, folder)
    backends = {
        name: make_backend(name, backend, settings, client, folder) for name, backend in settings.backends.items()
    }
    rows = [model_row(row, f"models[{index}]", variables) for index, row in enumerate(settings.models)]
    models = ModelTable(rows, {name: backend.provider for name, backend in backends.items()})
    routes = make_routes(settings.routes, backends)
    providers = token_providers(settings, folder)
    log = _access_log(settings.usage.access_log, folder)
    own_sinks = make_sinks(settings.usage.sinks)
    ledgers = [] if settings.usage.ledger is None else [make_ledger(settings.usage.ledger, folder)]
    usage, telemetry = usage_layer(settings, models, variables)
    endpoints = partial(
        TranslationApp,
        ping_interval=settings.translation.ping_interval,
        client_stall=settings.server.client_stall,
        answer_limit=shape.parse_size(settings.server.answer_limit, "server.answer_limit"),
        debug=settings.server.debug,
    )
    return Parts(
        backends=backends,
        models=models,
        routes=routes,
        client=client,
        list_claims=settings.policy.list_claims,
        sinks=[log, *ledgers, *own_sinks, *sinks, *telemetry],
        draining=Draining(after=settings.server.drain.after, signal=settings.server.drain.signal),
        resolve=resolve_layer(settings.server),
        auth=auth_layer(settings.auth, providers, session),
        policy=policy_layer(settings.policy, folder),
        limits=limits_layer(settings.limits),
        usage=usage,
        endpoints=endpoints,
        metadata=metadata(settings.auth, providers),
        health=(),
        closing=[client.aclose],
    )


def _access_log(described: shape.AccessLogSettings, folder: Path) -> AccessLog:
    return AccessLog(described.format, inside(folder, described.file), stdout=described.stdout)
