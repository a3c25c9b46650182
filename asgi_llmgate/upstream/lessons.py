"""What one model server has taught about its models, for a while.

A lesson is forgotten after LASTING seconds.  Servers are upgraded and models replaced under their names; and a refusal
is read with patterns, so one that quotes its caller in an unforeseen way may teach what is not so.  Neither may last
until somebody restarts the gateway.  To learn again costs one refused call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from asgi_llmgate.protocol.learnt import NOTHING, Learnt

LASTING = 3600.0

MODELS = 1000
"""More are not remembered: where a row of the model table names only a backend, callers choose the names."""


class Lessons:
    """Also for several threads, each with an event loop.  `now` gives seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._learnt: dict[str, tuple[Learnt, float]] = {}
        self._lock = threading.Lock()  # around changes; a look needs none

    def about(self, model: str) -> Learnt:
        found = self._learnt.get(model)
        if found is None:
            return NOTHING
        learnt, until = found
        if self._now() < until:
            return learnt
        with self._lock:
            if self._learnt.get(model) is found:  # another thread may have dropped it, or learnt anew
                del self._learnt[model]
        return NOTHING

    def keep(self, model: str, learnt: Learnt) -> None:
        """Add to what is known of the model; all of it lasts anew."""
        now = self._now()
        with self._lock:
            known, until = self._learnt.pop(model, (NOTHING, now))
            if len(self._learnt) >= MODELS:
                del self._learnt[next(iter(self._learnt))]
            self._learnt[model] = (known.adding(learnt) if now < until else learnt, now + LASTING)
