"""The corrections that are known for the models of one server, for LIFETIME seconds.

They expire because servers are upgraded, and models replaced under their names. Also, an upstream error is read with
patterns: one that quotes its caller in an unforeseen way may be read wrongly, and this must not last until a restart.
After its expiry a correction costs one further attempt.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec.structs import replace

from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Corrections
from asgi_llmgate.upstream.expiring_cache import ExpiringCache

LIFETIME = 3600.0
"""Seconds."""

MAX_SCHEMAS = 1_000
"""Rewrites of tools' schemas that are kept for one model; with more, those of earlier calls are forgotten."""


class CorrectionStore:
    """Corrections by model. `now` gives monotonic seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._by_model = ExpiringCache[Corrections](now, LIFETIME)

    def about(self, model: str) -> Corrections:
        return self._by_model.get(model) or NO_CORRECTIONS

    def keep(self, model: str, corrections: Corrections) -> None:
        """Merge into those of the model; all of them expire later."""
        self._by_model.put(model, corrections, _merge)


def _merge(known: Corrections, more: Corrections) -> Corrections:
    both = known.merge(more)
    return both if len(both.schemas) <= MAX_SCHEMAS else replace(both, schemas=more.schemas)
