"""Access tokens at hand until they expire, each obtained once however many calls wait for it.

a token is ...                     then a call ...
--------------------------------   -----------------------------------------------------------
far from its end                   gets it
in the last tenth of its life      gets it, and a new one is obtained behind it
gone, or not there yet             waits for a new one; without success it is refused
"""

from __future__ import annotations

import copy
import logging
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

from asgi_llmgate.errors import GateError
from asgi_llmgate.exchange import Secret
from asgi_llmgate.net import SingleFlight

log = logging.getLogger("llmgate.upstream")

HELD = 10_000
"""Tokens; the one that was asked for longest ago goes first."""

UNTOLD = 60.0
"""Seconds that a token is held whose answer does not say for how long it is good (RFC 6749 section 5.1)."""

EARLY = 10.0
"""Seconds before its end from which a token is no longer shown: it has to arrive, and clocks differ."""

AGAIN = 30.0
"""Seconds between two tokens obtained because the model server refused the one before."""

RETRY = 5.0
"""Seconds until a renewal that failed is tried again while the token is still good."""


@dataclass(slots=True)
class _Held:
    secret: Secret
    since: float
    renew_at: float
    until: float


Obtain = Callable[[], Awaitable[tuple[Secret, float | None]]]
"""Brings a token and the seconds for which it is good.  Raises GateError."""


class TokenCache:
    """Tokens by key, also for several threads, each with an event loop.  `clock`: seconds that never go back."""

    def __init__(self, clock: Callable[[], float], size: int = HELD) -> None:
        self._clock = clock
        self._size = size
        self._held: OrderedDict[Hashable, _Held] = OrderedDict()
        self._lock = threading.Lock()  # around changes: two steps on the dict are not one
        self._flight: SingleFlight[_Held | GateError] = SingleFlight()

    async def get(self, key: Hashable, obtain: Obtain) -> Secret:
        """The token under `key`.  Raises what `obtain` raises, for each who waited a copy."""
        held, now = self._held.get(key), self._clock()
        if held is not None and now < held.until:
            if now >= held.renew_at:
                held.renew_at = now + RETRY
                self._flight.start(key, lambda: self._obtain(key, obtain))
            with self._lock:
                if key in self._held:
                    self._held.move_to_end(key)
            return held.secret
        outcome = await self._flight.run(key, lambda: self._obtain(key, obtain))
        if isinstance(outcome, GateError):
            raise copy.copy(outcome)
        return outcome.secret

    def forget(self, key: Hashable) -> bool:
        """Let go of a token that was refused; False where it is so new that another would be no better."""
        held = self._held.get(key)
        if held is not None and self._clock() < held.since + AGAIN:
            return False
        with self._lock:
            if self._held.get(key) is held:  # and not one that was obtained in the meantime
                self._held.pop(key, None)
        return True

    async def _obtain(self, key: Hashable, obtain: Obtain) -> _Held | GateError:
        """One token, held; or why not.  What is raised in a flight is one object for all who wait, so nothing is."""
        try:
            secret, lifetime = await obtain()
        except GateError as error:
            log.warning("%s: %s", error.message, error.detail)
            return error
        now, life = self._clock(), UNTOLD if lifetime is None else lifetime
        until = now + max(life - EARLY, life / 2)
        held = _Held(secret, now, until - life / 10, until)
        with self._lock:
            self._held[key] = held
            self._held.move_to_end(key)
            if len(self._held) > self._size:
                self._held.popitem(last=False)
        return held

    def __len__(self) -> int:
        return len(self._held)
