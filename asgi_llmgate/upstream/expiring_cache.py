"""A cache whose values expire, with a maximum size.

Callers may choose the keys (a row of the model table that names only a backend takes any model name), so the oldest
value is removed for a new one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")

MAX_VALUES = 1000


class ExpiringCache(Generic[V]):
    """Values by key, each for `lifetime` seconds, for any number of threads. `now` gives monotonic seconds."""

    def __init__(self, now: Callable[[], float], lifetime: float, max_values: int = MAX_VALUES) -> None:
        self._now = now
        self._lifetime = lifetime
        self._max_values = max_values
        self._values: dict[Hashable, tuple[V, float]] = {}
        self._lock = threading.Lock()  # around changes; reading needs none

    def get(self, key: Hashable) -> V | None:
        found = self._values.get(key)
        if found is None:
            return None
        value, until = found
        if self._now() < until:
            return value
        with self._lock:
            if self._values.get(key) is found:  # another thread may have removed or replaced it
                del self._values[key]
        return None

    def put(self, key: Hashable, value: V, join: Callable[[V, V], V] = lambda _, new: new) -> None:
        """Store a value, for `lifetime` seconds from now. `join` combines it with a value that is there."""
        now = self._now()
        with self._lock:
            known = self._values.pop(key, None)
            if len(self._values) >= self._max_values:
                del self._values[next(iter(self._values))]
            both = value if known is None or now >= known[1] else join(known[0], value)
            self._values[key] = both, now + self._lifetime
