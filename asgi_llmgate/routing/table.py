"""The model table: from the name that a client asks for to the targets that may answer it.

Rows are tried in order and the first whose pattern fits, and whose condition holds, wins.  Only `*` is special in a
pattern, so names such as `claude-opus-5[1m]` mean themselves.  A row that names a model sends that model; a row that
names only a backend keeps the name that was asked.

    match              use                       asked               sent to
    -----------------  ------------------------  ------------------  ------------------------------
    claude-haiku-*     openai/gpt-4o-mini        claude-haiku-4-5    gpt-4o-mini at `openai`
    qwen*              vllm                      qwen3-coder         qwen3-coder at `vllm`
    org/*              vllm/org/llama            org/anything        org/llama at `vllm` (first slash)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asgi_llmgate.errors import NotFound, SettingsError
from asgi_llmgate.exchange import Target, Usage
from asgi_llmgate.routing.prices import Price

Condition = Callable[[Mapping[str, Any]], bool | None]
"""Says from the facts of a request (the CEL variables) whether a row counts for it; never raises.

None: that depends on a call, and this request is none.
"""

_SHOWN = 128


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One row.

    `match`: a name, or a pattern with `*`.  `use`: targets in order of preference, each `backend` or `backend/model`.
    `listed`: names that `/v1/models` shows for it beside a `match` without `*`.  `max_output_tokens` and
    `context_window` are tokens, None where they are not known.  `when`: a condition on the request, or None.
    `prices`: none, one for all of `use`, or one for each.
    """

    match: str
    use: tuple[str, ...]
    when: Condition | None = None
    listed: tuple[str, ...] = ()
    display_name: str = ""
    max_output_tokens: int | None = None
    context_window: int | None = None
    prices: tuple[Price, ...] = ()


class ModelTable:
    """The rows, compiled.

    `providers` maps each backend's key to its provider name.  Raises SettingsError (`models[2].use`) for a target
    whose backend does not exist.
    """

    def __init__(self, rows: Sequence[ModelRow], providers: Mapping[str, str]) -> None:
        self.providers = dict(providers)
        self._rows = [_Compiled(row, index, providers) for index, row in enumerate(rows)]
        self.conditional = any(row.when is not None for row in rows)

    def resolve(self, asked: str, facts: Mapping[str, Any] | None = None) -> tuple[Target, ...]:
        """The targets for a name, best first.  `facts` are needed where rows have conditions.

        Raises NotFound with `model: <name>`, the words that make Claude Code offer another model.
        """
        for row in self._rows:
            if row.fits(asked) and row.holds(facts) is True:
                return row.targets(asked)
        raise NotFound(f"model: {asked[:_SHOWN]}")

    def possible(self, asked: str, facts: Mapping[str, Any] | None = None) -> tuple[Target, ...]:
        """The targets that a call for this name could have, where `facts` are those of a request that is no call."""
        found: list[Target] = []
        for row in self._rows:
            holds = row.fits(asked) and row.holds(facts)
            if holds is not False:
                found.extend(row.targets(asked))
            if holds is True:
                break
        return tuple(found)

    def models(self) -> frozenset[str]:
        """The models that the table names: all that may be sent, but for what a client asks of a bare backend."""
        return frozenset(name for row in self._rows for name in row.models)

    def listed(self) -> Iterator[tuple[str, str]]:
        """(name, display name) of all that `/v1/models` may show, in the order of the rows, each name once."""
        seen: set[str] = set()
        for row in self._rows:
            for name in row.names:
                if name not in seen:
                    seen.add(name)
                    yield name, row.display_name or name


class _Compiled:
    def __init__(self, row: ModelRow, index: int, providers: Mapping[str, str]) -> None:
        self.fits = _pattern(row.match)
        self._when = row.when
        self._row = row
        self._uses = [_use(text, f"models[{index}].use", providers) for text in row.use]
        self._prices = _prices(row, f"models[{index}].prices")
        self._fixed = self._targets("") if all(model for _, _, model in self._uses) else None
        self.names = ((row.match,) if "*" not in row.match else ()) + row.listed
        self.models = [name for _, _, model in self._uses for name in ([model] if model else self.names)]
        self.display_name = row.display_name

    def holds(self, facts: Mapping[str, Any] | None) -> bool | None:
        return self._when is None or self._when({} if facts is None else facts)

    def targets(self, asked: str) -> tuple[Target, ...]:
        return self._fixed or self._targets(asked)

    def _targets(self, asked: str) -> tuple[Target, ...]:
        return tuple(
            Target(
                backend=backend,
                provider=provider,
                model=model or asked,
                max_output_tokens=self._row.max_output_tokens,
                context_window=self._row.context_window,
                price=price,
            )
            for (backend, provider, model), price in zip(self._uses, self._prices, strict=True)
        )


def _pattern(match: str) -> Callable[[str], bool]:
    """Whether a name fits.  Each part between two stars is looked for once, from where the one before it ends: the
    leftmost place leaves the most for the rest, so there is nothing to go back to, as a regular expression would."""
    first, *parts = match.split("*")
    if not parts:
        return first.__eq__
    last = parts.pop()

    def fits(asked: str) -> bool:
        end = len(asked) - len(last)
        if end < len(first) or not asked.startswith(first) or not asked.endswith(last):
            return False
        start = len(first)
        for part in parts:
            found = asked.find(part, start, end)
            if found < 0:
                return False
            start = found + len(part)
        return True

    return fits


def _prices(row: ModelRow, path: str) -> list[Callable[[Usage | None, float | None], float | None] | None]:
    given = row.prices * len(row.use) if len(row.prices) == 1 else row.prices
    if given and len(given) != len(row.use):
        raise SettingsError(f"{len(given)} prices for {len(row.use)} targets", path=path, hint="one, or one for each")
    return [price.cost for price in given] or [None] * len(row.use)


def _use(text: str, path: str, providers: Mapping[str, str]) -> tuple[str, str, str]:
    backend, _, model = text.partition("/")
    if backend not in providers:
        known = ", ".join(sorted(providers)) or "none"
        raise SettingsError(f"no backend is named {backend!r}", path=path, hint=f"backends: {known}")
    return backend, providers[backend], model
