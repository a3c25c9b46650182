"""`models` and `routes`: the model behind each name, and the kind of each path."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from asgi_llmgate.config.section import Section
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes
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
    rows: Sequence[ModelSettings], vendors: Mapping[str, str], mistakes: Mistakes, variables: Collection[str] = ()
) -> ModelTable:
    """The model table.

    `vendors` maps each backend to its vendor; `variables` are further rule variables that conditions may read.
    """
    made = [_make_row(row, f"models[{index}]", mistakes, variables) for index, row in enumerate(rows)]
    table = None
    with mistakes.under():
        table = ModelTable(made, vendors)
    return table or ModelTable([], vendors)


def make_routes(
    routes: Mapping[str, str | PassthroughSettings], backends: Mapping[str, object], mistakes: Mistakes
) -> Routes:
    """The routes, merged over the default ones."""
    made = dict(ROUTES)
    for path, kind in routes.items():
        with mistakes.under():
            made[path] = _make_route(path, kind, backends)
    return made


def _make_row(row: ModelSettings, path: str, mistakes: Mistakes, variables: Collection[str]) -> ModelRow:
    when = None
    with mistakes.under(f"{path}.when"):
        when = None if row.when is None else condition(row.when, variables)
    prices = (row.prices,) if isinstance(row.prices, Price) else row.prices
    for index, price in enumerate(prices):
        if price.input is None and price.output is None and price.gpu_hour is None:
            place = f"{path}.prices" if isinstance(row.prices, Price) else f"{path}.prices[{index}]"
            hint = "input and output per million tokens, or gpu_hour"
            about = tuple(f"$.{place}.{name}" for name in ("input", "output", "gpu_hour"))
            mistakes.add(SettingsError("the row has no price", path=place, hint=hint, rests_on=about))
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
            where = f"{place}.passthrough"
            raise SettingsError(f"no backend is named {name!r}", path=where, hint=hint, rests_on=("$.backends",))
        return Route("passthrough", name)
    if described == "passthrough":
        raise SettingsError("a passthrough names its backend", path=place, hint="{passthrough: BACKEND}")
    for kind in KINDS:
        if kind == described:
            return Route(kind)
    known = ", ".join(kind for kind in KINDS if kind != "passthrough")
    hint = f"one of {known}, {{passthrough: BACKEND}}"
    raise SettingsError(f"no such route type: {described[:40]!r}", path=place, hint=hint)
