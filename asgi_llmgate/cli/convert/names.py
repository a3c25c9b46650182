"""Names in the settings that are written: new ones, and patterns of models with `*` in them."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Mapping

from asgi_llmgate.routing.table import name_matcher


def free_name(wanted: str, taken: Container[str], joint: str = "-") -> str:
    """`wanted`, or the first of `wanted-2`, `wanted-3`, ... that is not taken."""
    numbered = (f"{wanted}{joint}{number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([wanted], numbered) if name not in taken)


def by_length(patterns: Iterable[str]) -> list[str]:
    """Exact names first, then the longer patterns."""
    return sorted(patterns, key=lambda each: (1, -len(each)) if "*" in each else (0, 0))


def replaced(model: str, aliases: Mapping[str, str]) -> str:
    """What `aliases` (name or pattern -> model) make of a model; the model itself where none of them is about it."""
    return next((aliases[each] for each in by_length(aliases) if name_matcher(each)(model)), model)
