"""`net`, `backends`, `models` and `routes`: which servers there are, which answers, and where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from asgi_llmgate.config import schema as shape
from asgi_llmgate.config.checks import require_url
from asgi_llmgate.config.credentials import credential
from asgi_llmgate.config.errors import error_path
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net import HTTPClient, Timeouts
from asgi_llmgate.policy import condition
from asgi_llmgate.protocol.servers.dialects import derive
from asgi_llmgate.protocol.translation.request import Options
from asgi_llmgate.routing import ModelRow, Price
from asgi_llmgate.routing.routes import KINDS, ROUTES, Route, Routes
from asgi_llmgate.upstream import Backend


def http_client(net: shape.Net, folder: Path) -> HTTPClient:
    """The way out that the settings describe.  Raises SettingsError."""

    def path(name: str | None) -> str | None:
        return None if name is None else str(folder / name)

    with error_path("net"):
        return HTTPClient(
            proxy=net.proxy,
            ca_file=path(net.ca_file),
            client_cert=path(net.client_cert),
            client_key=path(net.client_key),
        )


def make_backend(
    name: str, backend: shape.Backend, settings: shape.Settings, client: HTTPClient, folder: Path
) -> Backend:
    path = f"backends.{name}"
    with error_path(f"{path}.dialect"):
        overrides = dict(backend.dialect) if isinstance(backend.dialect, dict) else {"base": backend.dialect}
        dialect = derive(overrides.pop("base", "openai"), overrides)
    with error_path(f"{path}.base_url"):
        require_url(backend.base_url)
    with error_path(f"{path}.api_key"):
        api_key = credential(backend.api_key, client, folder)
        if api_key is not None and api_key.needs_token and settings.auth.mode == "off":
            raise SettingsError("auth.mode is off, so callers have no token to exchange", path="token_exchange")
    translation = settings.translation
    with error_path(path):
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


def model_row(row: shape.Model, path: str, variables: Iterable[str] = ()) -> ModelRow:
    """A row of `models`, which stands at `path`.  Raises SettingsError."""
    with error_path(f"{path}.when"):
        when = None if row.when is None else condition(row.when, variables)
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


def make_routes(routes: Mapping[str, str | shape.Passthrough], backends: Mapping[str, Backend]) -> Routes:
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
