"""Results of token verification, by the SHA-256 digest of the token.

Only digests are stored, so no token stays in memory for longer than its request.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class KeyGeneration(Protocol):
    """The keys that a result was found with.  Results of an older generation are no longer valid."""

    @property
    def generation(self) -> int: ...


class _Entry(NamedTuple, Generic[T]):
    """`expires_at`: Unix seconds.  `generation`: that of `keys` when the result was found."""

    result: T
    expires_at: float
    keys: KeyGeneration
    generation: int


class ResultCache(Generic[T]):
    """At most `size` results; the least recently used one is dropped first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[bytes, _Entry[T]] = OrderedDict()

    def get(self, digest: bytes, now: float) -> T | None:
        """The result for a token; None when there is none, it has expired, or the keys have changed since."""
        entry = self._entries.get(digest)
        if entry is None or now >= entry.expires_at or entry.generation != entry.keys.generation:
            return None
        # contextlib.suppress would cost a tenth of the whole verification of a cached token.
        try:  # noqa: SIM105
            self._entries.move_to_end(digest)
        except KeyError:
            pass  # the event loop of another thread may have dropped it since the line above
        return entry.result

    def put(self, digest: bytes, result: T, expires_at: float, keys: KeyGeneration) -> None:
        self._entries[digest] = _Entry(result, expires_at, keys, keys.generation)
        self._entries.move_to_end(digest)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def remove(self, digest: bytes) -> None:
        self._entries.pop(digest, None)

    def __contains__(self, digest: bytes) -> bool:
        """Whether there is an entry, expired or not."""
        return digest in self._entries

    def __len__(self) -> int:
        return len(self._entries)
