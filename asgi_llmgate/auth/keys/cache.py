"""Keeping a provider's keys at hand and fresh, without a task that runs in the background.

Time and need drive it, and only requests call:

    the keys are ...                                   then a request ...
    ------------------------------------------------   ------------------------------------------------------
    fresh                                              uses them
    older than the soft limit                          uses them, and a fetch starts behind it
    older than the hard limit, or not there yet        waits for a fetch; without success it is answered 503
    fresh, but the token's kid is not listed           waits for a fetch, once per `cooldown` whoever asks

The last row is what keeps people signed in when an identity provider signs with a new key at once (Keycloak does), and
its cooldown what keeps random kids from becoming fetches.  Fetches are shared by all who wait; one that fails is tried
again after a growing, jittered pause, and known keys stay in force meanwhile, up to the hard limit.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

from asgi_llmgate.auth.keys.key_set import NO_KEYS, BadKeySet, Keys, read_keys
from asgi_llmgate.auth.keys.sources import Unfetchable
from asgi_llmgate.auth.reasons import keys_unavailable
from asgi_llmgate.concurrency.single_flight import SingleFlight
from asgi_llmgate.errors import GateError

log = logging.getLogger("llmgate.auth")

SOFT_TTL = 300.0
"""Seconds for which fetched keys are fresh, when the answer's Cache-Control does not say."""

HARD_TTL = 86400.0
"""Seconds after which known keys stop to count."""

MIN_SOFT_TTL, MAX_SOFT_TTL = 60.0, HARD_TTL - 3600
"""Seconds within which Cache-Control is believed; an identity provider that is down for an hour never matters."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a failed fetch is tried again: the first time, and at the most."""

LOAD_TIMEOUT = 10.0
"""Seconds for a fetch with all that belongs to it: discovery, redirects."""

Load = Callable[[], Awaitable[tuple[Keys, float | None]]]


class KeyStore(Protocol):
    """Keys that may change.  `generation` rises when they do, so that what was verified with older ones is known."""

    generation: int

    async def find(self, kid: str | None) -> Keys:
        """The keys to look for `kid` in.  Raises errors.KeysUnavailable when there are none to be had."""
        ...


class FixedKeys:
    """Keys that are written in the settings."""

    generation = 0

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def find(self, kid: str | None) -> Keys:
        return self._keys


class FileKeys:
    """Keys in a file, read again when it changes.  A file that is gone or broken leaves the last keys in force."""

    def __init__(self, path: str | Path) -> None:
        self.generation = 0
        self._path = Path(path)
        self._seen: tuple[int, ...] = ()
        self._keys: Keys | None = None
        self._problem = ""

    async def find(self, kid: str | None) -> Keys:
        try:
            stat = self._path.stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen != self._seen:
                self._seen = seen
                self._keys = read_keys(self._path.read_bytes(), origin=str(self._path))
                self.generation += 1
                self._problem = ""
        except (OSError, BadKeySet) as error:
            self._report(f"keys in {self._path} cannot be read: {error}")
        if self._keys is None:
            raise keys_unavailable(detail=self._problem)
        return self._keys

    def _report(self, problem: str) -> None:
        if problem != self._problem:  # once, not per request
            log.warning("%s", problem)
        self._problem = problem


class RemoteKeys:
    """Keys that `load` fetches.  See the module's table.

    `cooldown`: seconds between two fetches for kids that are not listed.  `clock`: seconds that never go back.
    """

    def __init__(self, load: Load, *, name: str, clock: Callable[[], float], cooldown: float = 30.0) -> None:
        self.generation = 0
        self._load = load
        self._name = name
        self._clock = clock
        self._cooldown = cooldown
        self._flight: SingleFlight[None] = SingleFlight()
        self._keys = NO_KEYS
        self._asked_at = self._fetched_at = self._stale_at = self._retry_at = self._ask_for_kid_at = float("-inf")
        self._began_at = float("-inf")
        self._failures = 0
        self._problem = ""

    async def find(self, kid: str | None) -> Keys:
        now = self._clock()
        if now >= self._fetched_at + HARD_TTL:
            if now >= self._retry_at or self._flying:
                await self._refresh()
            if now >= self._fetched_at + HARD_TTL:
                raise keys_unavailable(detail=self._problem, retry_after=self._retry_at - now)
        elif now >= self._stale_at and now >= self._retry_at:
            self._flight.start(None, self._begin)
        if kid is not None and self._is_news(kid, now):
            if self._flying:
                await self._refresh()
            if self._is_news(kid, now) and self._may_ask(now):  # what flew may have been asked before there was the key
                await self._refresh()
        return self._keys

    def _is_news(self, kid: str, now: float) -> bool:
        """Whether a kid that is not listed may have come since the provider was asked for the keys that we have."""
        return kid not in self._keys.listed and self._asked_at < now

    def _may_ask(self, now: float) -> bool:
        """Whether a fetch may be made for an unlisted kid: one is under way already, or it is time."""
        if self._flying:
            return True
        if now < self._ask_for_kid_at or now < self._retry_at:
            return False
        self._ask_for_kid_at = now + self._cooldown
        return True

    async def _refresh(self) -> None:
        await self._flight.run(None, self._begin)

    @property
    def _flying(self) -> bool:
        """Whether a fetch is under way; not one that was left behind by a loop that stopped."""
        return self._flight.is_flying(None) and self._clock() < self._began_at + LOAD_TIMEOUT

    def _begin(self) -> Coroutine[Any, Any, None]:
        """A fetch, which counts as under way from now on, and not only when its task has had its first turn."""
        self._began_at = self._clock()
        return self._fetch(self._began_at)

    async def _fetch(self, asked_at: float) -> None:
        """One fetch; does not raise.  What it brought, or that it failed, is in the fields."""
        try:
            async with asyncio.timeout(LOAD_TIMEOUT):
                keys, max_age = await self._load()
        except TimeoutError:
            self._failed("no answer in time")
        except (GateError, Unfetchable) as error:
            self._failed(str(error))
        else:
            self._asked_at = asked_at
            self._succeeded(keys, max_age)

    def _succeeded(self, keys: Keys, max_age: float | None) -> None:
        now = self._clock()
        self._failures, self._problem = 0, ""
        self._fetched_at, self._retry_at = now, now
        self._stale_at = now + (SOFT_TTL if max_age is None else min(max(max_age, MIN_SOFT_TTL), MAX_SOFT_TTL))
        if keys != self._keys:
            self._keys = keys
            self.generation += 1

    def _failed(self, problem: str) -> None:
        pause = min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE) * random.uniform(0.75, 1.25)  # noqa: S311
        self._failures = min(self._failures + 1, 10)
        self._retry_at = self._clock() + pause
        self._problem = f"{self._name}: {problem}"
        log.warning("signing keys could not be fetched: %s", self._problem)
