"""What one model server has taught about its models, for a while.

A lesson is forgotten after LASTING seconds.  Servers are upgraded and models replaced under their names; and a refusal
is read with patterns, so one that quotes its caller in an unforeseen way may teach what is not so.  Neither may last
until somebody restarts the gateway.  To learn again costs one refused call.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from asgi_llmgate.protocol.servers.corrections import NO_CORRECTIONS, Corrections
from asgi_llmgate.upstream.expiring_cache import ExpiringCache

LASTING = 3600.0


class CorrectionStore:
    """`now` gives seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._by_model = ExpiringCache[Corrections](now, LASTING)

    def about(self, model: str) -> Corrections:
        return self._by_model.get(model) or NO_CORRECTIONS

    def keep(self, model: str, corrections: Corrections) -> None:
        """Add to what is known of the model; all of it lasts anew."""
        self._by_model.put(model, corrections, Corrections.merge)
