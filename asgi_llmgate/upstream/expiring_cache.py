"""What has been found out about a server, for a while, and of no more things than a number.

Callers may choose the names under which it is found (a row of the model table that names only a backend), so the one
that was found out longest ago makes place for a new one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")

MOST = 1000


class ExpiringCache(Generic[V]):
    """Values by key, each for `lasting` seconds.  Also for several threads, each with an event loop.  `now` gives
    seconds that never go back."""

    def __init__(self, now: Callable[[], float], lasting: float, most: int = MOST) -> None:
        self._now = now
        self._lasting = lasting
        self._most = most
        self._values: dict[Hashable, tuple[V, float]] = {}
        self._lock = threading.Lock()  # around changes; a look needs none

    def get(self, key: Hashable) -> V | None:
        found = self._values.get(key)
        if found is None:
            return None
        value, until = found
        if self._now() < until:
            return value
        with self._lock:
            if self._values.get(key) is found:  # another thread may have dropped it, or found out anew
                del self._values[key]
        return None

    def put(self, key: Hashable, value: V, join: Callable[[V, V], V] = lambda _, new: new) -> None:
        """Remember a value; `join` makes one of what is known and this.  It lasts anew."""
        now = self._now()
        with self._lock:
            known = self._values.pop(key, None)
            if len(self._values) >= self._most:
                del self._values[next(iter(self._values))]
            both = value if known is None or now >= known[1] else join(known[0], value)
            self._values[key] = both, now + self._lasting
