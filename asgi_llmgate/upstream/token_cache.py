"""A cache of access tokens. Each is obtained once, for all calls that wait for it, and kept until it expires.

a token is ...                     a call ...
---------------------------------  -----------------------------------------------------------
not near its expiry                gets it
in the last tenth of its lifetime  gets it, and a new one is obtained in the background
expired, or not obtained yet       waits for a new one; if there is none the call is refused
"""

from __future__ import annotations

import copy
import logging
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

from asgi_llmgate.errors import GateError
from asgi_llmgate.net import SingleFlight
from asgi_llmgate.secret_values import Secret

log = logging.getLogger("llmgate.upstream")

MAX_TOKENS = 10_000
"""Tokens in the cache; the least recently used one is removed first."""

DEFAULT_LIFETIME = 60.0
"""Seconds that a token is kept if the response has no `expires_in` (RFC 6749 section 5.1)."""

EXPIRY_MARGIN = 10.0
"""Seconds before its expiry from which a token is no longer used: it has to arrive in time, and clocks differ."""

MIN_REFRESH_INTERVAL = 30.0
"""Seconds between two tokens that are obtained because the model server refused the one before."""

RETRY_INTERVAL = 5.0
"""Seconds until a renewal that failed is tried again while the token is valid."""


@dataclass(slots=True)
class _CachedToken:
    secret: Secret
    obtained_at: float
    renew_at: float
    expires_at: float


Obtain = Callable[[], Awaitable[tuple[Secret, float | None]]]
"""Gets a token and its lifetime in seconds, None if unknown. Raises GateError."""


class TokenCache:
    """Tokens by key, for any number of threads, each with an event loop. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float], size: int = MAX_TOKENS) -> None:
        self._clock = clock
        self._size = size
        self._tokens: OrderedDict[Hashable, _CachedToken] = OrderedDict()
        self._lock = threading.Lock()  # around changes: two steps on the dict are not atomic
        self._flight: SingleFlight[_CachedToken | GateError] = SingleFlight()

    async def get(self, key: Hashable, obtain: Obtain) -> Secret:
        """The token under `key`. Raises what `obtain` raises: each waiting call gets a copy."""
        cached, now = self._tokens.get(key), self._clock()
        if cached is not None and now < cached.expires_at:
            if now >= cached.renew_at:
                cached.renew_at = now + RETRY_INTERVAL
                self._flight.start(key, lambda: self._obtain(key, obtain))
            with self._lock:
                if key in self._tokens:
                    self._tokens.move_to_end(key)
            return cached.secret
        outcome = await self._flight.run(key, lambda: self._obtain(key, obtain))
        if isinstance(outcome, GateError):
            raise copy.copy(outcome)
        return outcome.secret

    def forget(self, key: Hashable) -> bool:
        """Remove a token that the server refused; False where it is so new that another one would not help."""
        cached = self._tokens.get(key)
        if cached is not None and self._clock() < cached.obtained_at + MIN_REFRESH_INTERVAL:
            return False
        with self._lock:
            if self._tokens.get(key) is cached:  # and not one that was obtained in the meantime
                self._tokens.pop(key, None)
        return True

    async def _obtain(self, key: Hashable, obtain: Obtain) -> _CachedToken | GateError:
        """Obtain and keep a token. The error is returned: raised, one object would be shared by all waiting calls."""
        try:
            secret, lifetime = await obtain()
        except GateError as error:
            log.warning("%s: %s", error.message, error.detail)
            return error
        now, life = self._clock(), DEFAULT_LIFETIME if lifetime is None else lifetime
        until = now + max(life - EXPIRY_MARGIN, life / 2)
        cached = _CachedToken(secret, now, until - life / 10, until)
        with self._lock:
            self._tokens[key] = cached
            self._tokens.move_to_end(key)
            if len(self._tokens) > self._size:
                self._tokens.popitem(last=False)
        return cached

    def __len__(self) -> int:
        return len(self._tokens)
