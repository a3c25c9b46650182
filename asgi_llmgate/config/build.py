"""All the sections together: the layers of a gateway and the app behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from asgi_llmgate._types import ASGIApp
from asgi_llmgate.asgi import Close, Draining, Health
from asgi_llmgate.auth import Session
from asgi_llmgate.config import schema as shape
from asgi_llmgate.config.auth import auth_layer, metadata, token_providers
from asgi_llmgate.config.backends import http_client, make_backend, make_routes, model_row
from asgi_llmgate.config.checks import Layer, inside
from asgi_llmgate.config.open_files import check_descriptors
from asgi_llmgate.config.policy import limits_layer, policy_layer
from asgi_llmgate.config.server import resolve_layer
from asgi_llmgate.config.usage import make_ledger, usage_layer
from asgi_llmgate.endpoints.app import TranslationApp
from asgi_llmgate.routing import ModelTable
from asgi_llmgate.routing.routes import Routes
from asgi_llmgate.usage import AccessLog, Sink


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
    closing: Sequence[Close]


def assemble(
    mapping: shape.Settings | Mapping[str, Any],
    folder: Path,
    *,
    sinks: Iterable[Sink] = (),
    session: Session | None = None,
    closing: Iterable[Close] = (),
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
    rows = [model_row(row, f"models[{index}]") for index, row in enumerate(settings.models)]
    models = ModelTable(rows, {name: backend.provider for name, backend in backends.items()})
    routes = make_routes(settings.routes, backends)
    providers = token_providers(settings, folder)
    log = AccessLog(settings.usage.access_log.format, inside(folder, settings.usage.access_log.file))
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
        answer_limit=shape.parse_size(settings.server.answer_limit, "server.answer_limit"),
        draining=draining,
        debug=settings.server.debug,
        list_claims=listed,
    )
    return Parts(
        app=app,
        routes=routes,
        resolve=resolve_layer(settings.server, models, routes, listed),
        auth=auth_layer(settings.auth, providers, client, session),
        policy=policy_layer(settings.policy, folder),
        limits=limits_layer(settings.limits, listed),
        usage=usage_layer(settings, [log, *kept, *sinks], models, routes),
        metadata=metadata(settings.auth, providers),
        health=[log.health, *[each.health for each in kept]],
        draining=draining,
        closing=[client.aclose, *[each.aclose for each in kept], log.close, *closing],
    )
