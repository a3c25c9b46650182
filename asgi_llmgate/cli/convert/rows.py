"""Rows of `models:`, and the order of their targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from asgi_llmgate.cli.convert.manifests import Entry
from asgi_llmgate.cli.convert.notes import Notes

T = TypeVar("T")


def by_weight(found: Iterable[tuple[int, T]], kind: str, entry: Entry, notes: Notes) -> list[T]:
    """What calls are spread over, the heaviest first; that they are not spread here is noted about the entry."""
    ordered = [each for _, each in sorted(found, key=lambda pair: -pair[0])]
    if len(ordered) > 1:
        message = f"calls are not spread by weight: the first {kind} gets them, the others follow when it fails"
        notes.differ(entry, message)
    return ordered


def model_row(match: str, use: Sequence[str], when: str = "") -> dict[str, Any]:
    """A row of `models:`; `use` are its targets, `when` its condition."""
    return {"match": match, **({"when": when} if when else {}), "use": use[0] if len(use) == 1 else list(use)}
