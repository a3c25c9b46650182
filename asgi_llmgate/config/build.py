"""All sections of the settings together: the parts of a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from asgi_llmgate._types import ASGIApp, Layer
from asgi_llmgate.asgi import Draining
from asgi_llmgate.auth import Session
from asgi_llmgate.config.schema import Settings, read_settings
from asgi_llmgate.config.sections.auth import make_auth_layer, make_metadata, make_providers
from asgi_llmgate.config.sections.backends import make_backend, make_client, require_tokens
from asgi_llmgate.config.sections.models import make_routes, make_table
from asgi_llmgate.config.sections.policy import make_limits_layer, make_policy_layer
from asgi_llmgate.config.sections.safeguards import (
    ClassifierSettings,
    audit_keep,
    make_audit,
    make_notifier,
    make_safeguards,
)
from asgi_llmgate.config.sections.secret import read_secrets
from asgi_llmgate.config.sections.server import check_descriptors, make_draining, make_resolve_layer
from asgi_llmgate.config.sections.usage import (
    make_access_log,
    make_fields,
    make_ledger,
    make_sink,
    make_usage_layer,
    make_user,
)
from asgi_llmgate.config.units import parse_size
from asgi_llmgate.endpoints.app import TranslationApp
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.routing import ModelTable
from asgi_llmgate.routing.resolve import ResolveMiddleware
from asgi_llmgate.routing.routes import Routes
from asgi_llmgate.rule_variables import Variable
from asgi_llmgate.running_state import RunningState
from asgi_llmgate.sealing import Sealer
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.upstream import Backend
from asgi_llmgate.usage import Sink
from asgi_llmgate.usage.sinks import MetricSink

if TYPE_CHECKING:
    from asgi_llmgate.safeguards.classifier import Classifier


class Parts(TypedDict):
    """Arguments of Gateway."""

    backends: Mapping[str, Backend]
    models: ModelTable
    routes: Routes
    client: HTTPClient
    list_claims: Sequence[str]
    variables: Mapping[str, Variable]
    sinks: Sequence[Sink]
    draining: Draining
    state: RunningState
    resolve: Layer
    auth: Layer
    policy: Layer
    limits: Layer | None
    usage: Layer
    endpoints: Callable[..., ASGIApp]
    metadata: Mapping[str, Any] | None


def make_parts(
    settings: Settings | Mapping[str, Any],
    folder: Path,
    state: RunningState,
    mistakes: Mistakes,
    *,
    sinks: Iterable[Sink] = (),
    variables: Mapping[str, Variable],
    session: Session | None = None,
) -> Parts:
    """What the settings describe, with what a host adds to it; paths are relative to `folder`.

    What changes while a gateway runs is taken from `state`, or kept there.  What is wrong is added to `mistakes`; the
    parts then do for a check of the layers, and for nothing else.
    """
    if not isinstance(settings, Settings):
        settings = read_settings(settings, mistakes)
    server, usage, list_claims = settings.server, settings.usage, settings.policy.list_claims
    check_descriptors(server.streams)
    client = _make_client(settings, folder, state, mistakes)
    backends = _make_backends(settings, client, folder, state, mistakes)
    vendors = {name: backends[name].vendor if name in backends else "" for name in settings.backends}
    models = make_table(settings.models, vendors, mistakes, variables)
    providers = make_providers(settings.auth, folder, mistakes)
    secrets: list[Secret] = []
    with mistakes.under():
        secrets = read_secrets(settings.secret)
    own_sinks = _make_sinks(settings, folder, state, mistakes)
    # A passthrough without a model in its request, and a classifier, may use models that no row has.
    may_use_others = settings.safeguards is not None or any(
        not isinstance(kind, str) for kind in settings.routes.values()
    )
    usage_layer, telemetry = make_usage_layer(
        usage,
        make_fields(usage.fields, list_claims, mistakes, variables),
        models.models(),
        mistakes,
        user=make_user(usage.user, list_claims, mistakes, variables),
        audit=make_audit(settings.safeguards, secrets),
        has_prices=any(row.prices for row in settings.models),
        catalogue_models=None if may_use_others else models.models_without_price(),
    )
    own_sinks += _make_webhook(settings, own_sinks, secrets, client, telemetry, state, mistakes)
    metadata, answer_limit, safeguards = None, 0, None
    sealer = state.keep("sealer", "", settings.secret, lambda: Sealer(secrets))
    resolve: Layer = ResolveMiddleware
    with mistakes.under():
        metadata = make_metadata(settings.auth, providers)
    with mistakes.under("server.answer_limit"):
        answer_limit = parse_size(server.answer_limit)
    with mistakes.under("safeguards"):
        classifier = partial(
            _make_classifier, backends=backends, models=models, client=client, state=state, folder=folder
        )
        safeguards = make_safeguards(settings.safeguards, list_claims, variables, classifier)
    with mistakes.under():
        resolve = make_resolve_layer(server)
    return Parts(
        backends=backends,
        models=models,
        routes=make_routes(settings.routes, vendors, mistakes),
        client=client,
        list_claims=list_claims,
        variables=variables,
        sinks=[*own_sinks, *sinks, *telemetry],
        # One for the whole life of a gateway: it knows the open calls, and handles SIGTERM.
        draining=state.keep("draining", "", None, lambda: make_draining(server.drain)),
        state=state,
        resolve=resolve,
        auth=make_auth_layer(settings.auth, providers, session),
        policy=make_policy_layer(settings.policy, folder, mistakes),
        limits=make_limits_layer(settings.limits),
        usage=usage_layer,
        endpoints=partial(
            TranslationApp,
            sealer=sealer,
            ping_interval=settings.translation.ping_interval,
            client_stall=server.client_stall,
            answer_limit=answer_limit,
            debug=server.debug,
            safeguards=safeguards,
            own_classifier=settings.safeguards.own_classifier if settings.safeguards is not None else "forward",
        ),
        metadata=metadata,
    )


def _make_classifier(described: ClassifierSettings, **parts: Any) -> Classifier:
    from asgi_llmgate.config.sections.classifier import make_classifier

    return make_classifier(described, **parts)


def _make_client(settings: Settings, folder: Path, state: RunningState, mistakes: Mistakes) -> HTTPClient:
    made = None
    with mistakes.under():
        made = state.keep("client", "", (settings.net, folder), lambda: make_client(settings.net, folder))
    return made or HTTPClient(proxy="none")


def _make_backends(
    settings: Settings, client: HTTPClient, folder: Path, state: RunningState, mistakes: Mistakes
) -> dict[str, Backend]:
    """Those backends that can be made."""
    backends = {}
    for name, described in settings.backends.items():
        with mistakes.under():
            backends[name] = make_backend(name, described, settings.translation, client, folder, state)
            if settings.auth.mode == "off":
                require_tokens(name, backends[name])
    if any(backend.base_url.lower().startswith("https:") for backend in backends.values()):
        client.prepare_tls()
    return backends


def _make_sinks(settings: Settings, folder: Path, state: RunningState, mistakes: Mistakes) -> list[Sink]:
    """The access log, the ledger and the sinks of the host's own, as far as there are any."""
    log, ledger, safeguards = settings.usage.access_log, settings.usage.ledger, settings.safeguards
    keep_verdicts = None
    with mistakes.under():
        keep_verdicts = audit_keep(safeguards)
    notify = safeguards is not None and safeguards.notify is not None
    sinks: list[Sink] = [state.keep("sink", "access_log", (log, folder), lambda: make_access_log(log, folder))]
    if ledger is not None:
        with mistakes.under():
            made_from = (ledger, folder, keep_verdicts, notify)
            make = partial(make_ledger, ledger, folder, keep_verdicts=keep_verdicts, notify=notify)
            sinks.append(state.keep("sink", "ledger", made_from, make))
    for index, described in enumerate(settings.usage.sinks):
        with mistakes.under(f"usage.sinks[{index}]"):
            sinks.append(state.keep("sink", f"{described.callable} {index}", None, partial(make_sink, described)))
    return sinks


def _make_webhook(
    settings: Settings,
    sinks: Sequence[Sink],
    secrets: Sequence[Secret],
    client: HTTPClient,
    telemetry: Sequence[MetricSink],
    state: RunningState,
    mistakes: Mistakes,
) -> list[Sink]:
    """What sends the webhook of `safeguards`, if there is one.  `sinks` are those that `_make_sinks` has made."""
    safeguards, ledger = settings.safeguards, settings.usage.ledger
    if safeguards is None or safeguards.notify is None:
        return []
    # By its attribute: its class cannot be imported where SQLAlchemy is not installed.
    found: Any = next((sink for sink in sinks if hasattr(sink, "database")), None)
    if ledger is not None and found is None:
        return []  # what is wrong with the ledger has been told
    made: list[Sink] = []
    with mistakes.under():
        make = partial(make_notifier, safeguards, found, secrets, client, telemetry)
        made.append(state.keep("sink", "webhook", (safeguards.notify, ledger, settings.secret), make))
    return made
