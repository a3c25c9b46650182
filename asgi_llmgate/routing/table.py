"""The model table: from the name that a client asks for to the targets that may serve the call.

The first row whose pattern matches and whose condition is true is used. Only `*` is special in a pattern, so that names
such as `claude-opus-5[1m]` match themselves. A row with a model sends that name; a row with only a backend sends the
name that the client asked for.

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
from asgi_llmgate.exchange_values import Target, Usage
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.routing.prices import Price

Condition = Callable[[Mapping[str, Any]], bool | None]
"""Whether a row is for a request, from its rule variables. Does not raise.

None: the condition reads what only a call has, and the request is not one.
"""

_SHOWN = 128
"""Characters of a name in an error message."""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One row.

    `match`: a name, or a pattern with `*`. `use`: targets, best first, each `backend` or `backend/model`. `listed`
    (the settings key `list`): names that `/v1/models` lists for the row, beside a `match` without `*`.
    `max_output_tokens` and `context_window` are in tokens, None if unknown. `when`: a condition on the request, or
    None. `prices`: none, one for all of `use`, or one for each.
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

    `vendors` maps each backend's key to its vendor. Raises SettingsError (`models[2].use`) for a target
    whose backend does not exist.
    """

    def __init__(self, rows: Sequence[ModelRow], vendors: Mapping[str, str]) -> None:
        self.vendors = dict(vendors)
        self._rows: list[_Compiled] = []
        mistakes = Mistakes()
        for index, row in enumerate(rows):
            with mistakes.under(f"models[{index}]"):
                self._rows.append(_Compiled(row, vendors))
        mistakes.raise_if_any()
        self.conditional = any(row.when is not None for row in rows)

    def resolve(self, asked: str, variables: Mapping[str, Any] | None = None) -> tuple[Target, ...]:
        """The targets for a name, best first. `variables` are needed if rows have conditions (`conditional`).

        Raises NotFound with the message `model: <name>`, on which Claude Code offers another model.
        """
        for row in self._rows:
            if row.matches(asked) and row.holds(variables) is True:
                return row.targets(asked)
        raise NotFound(f"model: {asked[:_SHOWN]}")

    def possible(self, asked: str, variables: Mapping[str, Any] | None = None) -> tuple[Target, ...]:
        """The targets that a call for this name could have; `variables` are those of a request that is not a call."""
        found: list[Target] = []
        for row in self._rows:
            holds = row.matches(asked) and row.holds(variables)
            if holds is not False:
                found.extend(row.targets(asked))
            if holds is True:
                break
        return tuple(found)

    def target(self, use: str) -> Target:
        """The target `backend/model`, with limits and price of the first row that has it.  Raises SettingsError."""
        [(backend, vendor, model)] = _uses([use], self.vendors)
        if not model:
            raise SettingsError("the model is missing", hint="BACKEND/MODEL")
        for row in self._rows:
            for target in row.targets_for(model):
                if (target.backend, target.model) == (backend, model):
                    return target
        return Target(backend, vendor, model)

    def models(self) -> frozenset[str]:
        """The models that the table names: all that may be sent, except by rows with only a backend and a pattern."""
        return frozenset(name for row in self._rows for name in row.models)

    def models_without_price(self) -> frozenset[tuple[str, str]] | None:
        """(vendor, model) of all targets in rows without prices; None if such a row lets callers name any model."""
        found: set[tuple[str, str]] = set()
        for row in self._rows:
            if not row.has_prices:
                targets = row.all_targets()
                if targets is None:
                    return None
                found.update((target.vendor, target.model) for target in targets)
        return frozenset(found)

    def listed(self) -> Iterator[tuple[str, str]]:
        """(name, display name) of all that `/v1/models` may list, in the order of the rows, each name once."""
        seen: set[str] = set()
        for row in self._rows:
            for name in row.names:
                if name not in seen:
                    seen.add(name)
                    yield name, row.display_name or name


class _Compiled:
    def __init__(self, row: ModelRow, vendors: Mapping[str, str]) -> None:
        self.matches = name_matcher(row.match)
        self._when = row.when
        self._row = row
        mistakes = Mistakes()
        with mistakes.under("use"):
            self._uses = _uses(row.use, vendors)
        with mistakes.under():
            self._prices = _prices(row)
        mistakes.raise_if_any()
        self._fixed = self._targets("") if all(model for _, _, model in self._uses) else None
        self.names = ((row.match,) if "*" not in row.match else ()) + row.listed
        self.models = [name for _, _, model in self._uses for name in ([model] if model else self.names)]
        self.display_name = row.display_name
        self.has_prices = bool(row.prices)

    def holds(self, variables: Mapping[str, Any] | None) -> bool | None:
        return self._when is None or self._when({} if variables is None else variables)

    def targets(self, asked: str) -> tuple[Target, ...]:
        return self._fixed or self._targets(asked)

    def all_targets(self) -> tuple[Target, ...] | None:
        """All that calls can have; None if callers may name any model."""
        return self._fixed if "*" in self._row.match else self.targets(self._row.match)

    def targets_for(self, model: str) -> tuple[Target, ...]:
        """Those targets that the row may send this model to, whatever is asked for."""
        return self._fixed or (self._targets(model) if self.matches(model) else ())

    def _targets(self, asked: str) -> tuple[Target, ...]:
        return tuple(
            Target(
                backend=backend,
                vendor=vendor,
                model=model or asked,
                max_output_tokens=self._row.max_output_tokens,
                context_window=self._row.context_window,
                price=price,
            )
            for (backend, vendor, model), price in zip(self._uses, self._prices, strict=True)
        )


def name_matcher(match: str) -> Callable[[str], bool]:
    """A function that tells whether a name matches, in linear time."""
    first, *parts = match.split("*")
    if not parts:
        return first.__eq__
    last = parts.pop()

    def matches(asked: str) -> bool:
        end = len(asked) - len(last)
        if end < len(first) or not asked.startswith(first) or not asked.endswith(last):
            return False
        # Each part is searched once, from the end of the one before: the leftmost place leaves the most for the rest,
        # so there is no backtracking as in a regular expression.
        start = len(first)
        for part in parts:
            found = asked.find(part, start, end)
            if found < 0:
                return False
            start = found + len(part)
        return True

    return matches


def _prices(row: ModelRow) -> list[Callable[[Usage | None, float | None], float | None] | None]:
    given = row.prices * len(row.use) if len(row.prices) == 1 else row.prices
    if given and len(given) != len(row.use):
        hint = "one price, or one for each target"
        message = f"{len(given)} prices for {len(row.use)} targets"
        raise SettingsError(message, path="prices", hint=hint, rests_on=("use",))
    return [price.cost for price in given] or [None] * len(row.use)


def _uses(targets: Sequence[str], vendors: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Backend, vendor and model of each target.

    Raises SettingsError, with the target's number as the path where there are several.
    """
    found = []
    mistakes = Mistakes()
    for index, text in enumerate(targets):
        backend, _, model = text.partition("/")
        if backend in vendors:
            found.append((backend, vendors[backend], model))
            continue
        hint = "backends: " + (", ".join(sorted(vendors)) or "none")
        path = f"[{index}]" if len(targets) > 1 else ""
        mistakes.add(SettingsError(f"no backend is named {backend!r}", path=path, hint=hint, rests_on=("$.backends",)))
    mistakes.raise_if_any()
    return found
