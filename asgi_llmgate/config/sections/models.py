"""`models` and `routes`: the model behind each name, and the kind of each path."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from asgi_llmgate.config.errors import error_path
from asgi_llmgate.config.section import Section
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.policy import condition
from asgi_llmgate.route import KINDS, Route
from asgi_llmgate.routing import ModelRow, ModelTable, Price
from asgi_llmgate.routing.routes import ROUTES, Routes


class ModelSettings(Section, frozen=True):
    """A row of the model table.  `use`: a target, or a list of them in order of preference; the first slash separates
    backend and model."""

    match: str
    use: str | tuple[str, ...]
    when: str | None = None
    listed: tuple[str, ...] = msgspec.field(name="list", default=())
    display_name: str = ""
    max_output_tokens: int | None = None
    context_window: int | None = None
    prices: Price | tuple[Price, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """`use` as a list."""
        return (self.use,) if isinstance(self.use, str) else self.use


class PassthroughSettings(Section, frozen=True):
    """A route whose requests are forwarded to one backend."""

    passthrough: str


def make_table(
    rows: Sequence[ModelSettings], vendors: Mapping[str, str], variables: Collection[str] = ()
) -> ModelTable:
    """The model table.

    `vendors` maps each backend to its vendor; `variables` are further rule variables that conditions may read.  Raises
    SettingsError.
    """
    return ModelTable([_make_row(row, f"models[{index}]", variables) for index, row in enumerate(rows)], vendors)


def make_routes(routes: Mapping[str, str | PassthroughSettings], backends: Mapping[str, object]) -> Routes:
    """The routes, merged over the default ones.  Raises SettingsError."""
    return {**ROUTES, **{path: _make_route(path, kind, backends) for path, kind in routes.items()}}


def _make_row(row: ModelSettings, path: str, variables: Collection[str]) -> ModelRow:
    with error_path(f"{path}.when"):
        when = None if row.when is None else condition(row.when, variables)
    prices = (row.prices,) if isinstance(row.prices, Price) else row.prices
    for price in prices:
        if price.input is None and price.output is None and price.gpu_hour is None:
            hint = "input and output per million tokens, or gpu_hour"
            raise SettingsError("the row has no price", path=f"{path}.prices", hint=hint)
    return ModelRow(
        match=row.match,
        use=row.targets,
        when=when,
        listed=row.listed,
        display_name=row.display_name,
        max_output_tokens=row.max_output_tokens,
        context_window=row.context_window,
        prices=prices,
    )


def _make_route(path: str, described: str | PassthroughSettings, backends: Mapping[str, object]) -> Route:
    place = f"routes.{path}"
    if not path.startswith("/") or path.endswith("/"):
        raise SettingsError("a path starts with a slash and does not end in one", path=place)
    if isinstance(described, PassthroughSettings):
        name = described.passthrough
        if name not in backends:
            hint = "backends: " + ", ".join(sorted(backends))
            raise SettingsError(f"no backend is named {name!r}", path=f"{place}.passthrough", hint=hint)
        return Route("passthrough", name)
    if described == "passthrough":
        raise SettingsError("a passthrough names its backend", path=place, hint="{passthrough: BACKEND}")
    for kind in KINDS:
        if kind == described:
            return Route(kind)
    known = ", ".join(kind for kind in KINDS if kind != "passthrough")
    hint = f"one of {known}, {{passthrough: BACKEND}}"
    raise SettingsError(f"no such route type: {described!r}", path=place, hint=hint)
