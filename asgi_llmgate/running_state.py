"""What changes while a gateway runs: connections, corrections, counters, caches of keys and tokens, sinks.

It outlives the settings that it was made for.  When a gateway gets a new snapshot, made from other settings, what
belongs to an unchanged backend, provider or sink stays: a limit goes on counting, corrections for a model server are
not found out again, and no identity provider is asked for keys that are known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from asgi_llmgate.concurrency.closing import Close, close_all

T = TypeVar("T")


class RunningState:
    """Objects by kind ("keys", "corrections") and by the name of what they belong to, such as a backend."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[object, Any]] = {}
        self._replaced: list[Any] = []

    def keep(self, kind: str, name: str, made_from: object, make: Callable[[], T]) -> T:
        """The object of this kind and name; made by `make`, and kept, where there is none that was made from the same.

        `made_from` is compared by equality: it is what the settings say about the object.
        """
        known = self._kept.get((kind, name))
        if known is not None:
            previous, kept = known
            if previous == made_from:
                return kept  # type: ignore[no-any-return]
            self._replaced.append(kept)  # a request that is under way may use it
        made = make()
        self._kept[kind, name] = made_from, made
        return made

    def closing(self) -> list[Close]:
        """The `aclose` of each object that has one, the newest first."""
        objects = [*(kept for _, kept in self._kept.values()), *self._replaced]
        return [close for kept in reversed(objects) if (close := getattr(kept, "aclose", None)) is not None]

    async def aclose(self) -> None:
        """Close the objects; they open again at their next use.  Their other state stays."""
        await close_all(self.closing())
