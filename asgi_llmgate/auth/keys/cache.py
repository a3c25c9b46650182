"""Caches a provider's keys.  There is no background task: requests start the fetches.

    the keys are ...                            a request ...
    -----------------------------------------   ----------------------------------------------------------
    fresh                                       uses them
    stale                                       uses them, and starts a fetch that it does not wait for
    older than MAX_AGE, or not fetched yet      waits for a fetch; when that fails, it gets a 503
    fresh, but the token's kid is not listed    waits for a fetch; at most one of these in `cooldown` seconds

The last row accepts tokens of a provider that starts to sign with a new key at once, as Keycloak does.  The cooldown
keeps invented kids from causing fetches.

All requests that wait share one fetch.  A fetch that fails is repeated after a growing pause with jitter; the known
keys stay valid meanwhile, up to MAX_AGE.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from asgi_llmgate.auth.keys.key_set import NO_KEYS, BadKeySet, Keys, read_keys
from asgi_llmgate.auth.keys.sources import KeyFetchError
from asgi_llmgate.auth.reasons import keys_unavailable
from asgi_llmgate.concurrency.single_flight import SingleFlight
from asgi_llmgate.errors import GateError

log = logging.getLogger("llmgate.auth")

DEFAULT_TTL = 300.0
"""Seconds for which fetched keys are fresh, when the response has no `Cache-Control: max-age`."""

MAX_AGE = 86400.0
"""Seconds after which known keys are no longer used."""

MIN_TTL, MAX_TTL = 60.0, MAX_AGE - 3600
"""Bounds in seconds for `max-age`.  The upper one leaves an hour of failed fetches before MAX_AGE is reached."""

MIN_RETRY_DELAY, MAX_RETRY_DELAY = 1.0, 60.0
"""Seconds before a failed fetch is repeated: the first time, and at most."""

LOAD_TIMEOUT = 10.0
"""Seconds for one fetch, with discovery and redirects."""

Load = Callable[[], Awaitable[tuple[Keys, float | None]]]
"""Fetches the keys, and the seconds for which they are fresh.  Raises GateError, KeyFetchError."""


class KeyStore(Protocol):
    """Keys that may change.  `generation` is a number that rises when they do."""

    generation: int

    async def find(self, kid: str | None) -> Keys:
        """The keys, among which `kid` may be.  Raises errors.KeysUnavailable when there are none."""
        ...

    def failing(self) -> bool:
        """Whether the keys could not be read when this was tried last."""
        ...


class FixedKeys:
    """Keys from the settings; they never change."""

    generation = 0

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def find(self, kid: str | None) -> Keys:
        return self._keys

    def failing(self) -> bool:
        return False


class FileKeys:
    """Keys in a file, which is read again when it changes.

    While the file is missing or broken, the keys that were read last stay valid.
    """

    def __init__(self, path: str | Path) -> None:
        self.generation = 0
        self._path = Path(path)
        self._version: tuple[int, ...] = ()
        self._keys: Keys | None = None
        self._problem = ""

    async def find(self, kid: str | None) -> Keys:
        self._read()
        if self._keys is None:
            raise keys_unavailable(detail=self._problem)
        return self._keys

    def failing(self) -> bool:
        self._read()
        return bool(self._problem)

    def _read(self) -> None:
        try:
            stat = self._path.stat()
            version = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if version != self._version:
                # First, so that a broken file is not read again for every request.
                self._version = version
                self._keys = read_keys(self._path.read_bytes(), origin=str(self._path))
                self.generation += 1
                self._problem = ""
        except (OSError, BadKeySet) as error:
            self._report(f"keys in {self._path} cannot be read: {error}")

    def _report(self, problem: str) -> None:
        if problem != self._problem:  # once per problem, not per request
            log.warning("%s", problem)
        self._problem = problem


class RemoteKeys:
    """Keys that `load` fetches, by the rules of the table above.

    `name` is the provider's, for the log.  `clock` gives monotonic seconds.  `cooldown` is the time in seconds between
    two fetches for kids that are not listed.
    """

    def __init__(self, load: Load, *, name: str, clock: Callable[[], float], cooldown: float = 30.0) -> None:
        self.generation = 0
        self._load = load
        self._name = name
        self._clock = clock
        self._cooldown = cooldown
        self._flight: SingleFlight[None] = SingleFlight()
        self._keys = NO_KEYS
        # All times are those of `clock`.
        self._started_at = self._retry_at = self._next_fetch_for_kid_at = float("-inf")
        # Of the keys that are here: when their fetch started and ended, and when they are stale.
        self._requested_at = self._fetched_at = self._stale_at = float("-inf")
        self._failures = 0
        self._problem = ""

    async def find(self, kid: str | None) -> Keys:
        now = self._clock()
        if now >= self._fetched_at + MAX_AGE:
            if now >= self._retry_at or self._is_fetching:
                await self._refresh()
            if now >= self._fetched_at + MAX_AGE:
                raise keys_unavailable(detail=self._problem, retry_after=self._retry_at - now)
        elif now >= self._stale_at and now >= self._retry_at:
            self._flight.start(None, self._start_fetch)
        if kid is not None and self._is_new_kid(kid, now):
            if self._is_fetching:
                await self._refresh()
            # The fetch that has just ended may have started before the provider had the key.
            if self._is_new_kid(kid, now) and self._may_fetch_for_kid(now):
                await self._refresh()
        return self._keys

    def failing(self) -> bool:
        """Whether the last fetch has failed.

        Keys that are stale, or not fetched yet, are fetched behind: a process may be asked for its health before it has
        had a request.
        """
        now = self._clock()
        if now >= self._stale_at and now >= self._retry_at:
            with suppress(RuntimeError):  # asked outside of an event loop
                self._flight.start(None, self._start_fetch)
        return bool(self._problem)

    def _is_new_kid(self, kid: str, now: float) -> bool:
        """Whether a kid is not listed, and may have been added after the known keys were requested."""
        return kid not in self._keys.listed and self._requested_at < now

    def _may_fetch_for_kid(self, now: float) -> bool:
        """Whether a kid that is not listed may wait for a fetch: one is running, or the cooldown is over."""
        if self._is_fetching:
            return True
        if now < self._next_fetch_for_kid_at or now < self._retry_at:
            return False
        self._next_fetch_for_kid_at = now + self._cooldown
        return True

    async def _refresh(self) -> None:
        await self._flight.run(None, self._start_fetch)

    @property
    def _is_fetching(self) -> bool:
        """Whether a fetch is running."""
        # An event loop that has stopped leaves its fetch behind, unfinished; after LOAD_TIMEOUT it no longer counts.
        return self._flight.is_running(None) and self._clock() < self._started_at + LOAD_TIMEOUT

    def _start_fetch(self) -> Coroutine[Any, Any, None]:
        # Not inside the coroutine, which starts only when the event loop runs its task.
        self._started_at = self._clock()
        return self._fetch(self._started_at)

    async def _fetch(self, started_at: float) -> None:
        """One fetch.  Does not raise: success and failure are stored in the fields."""
        try:
            async with asyncio.timeout(LOAD_TIMEOUT):
                keys, max_age = await self._load()
        except TimeoutError:
            self._failed(f"no response within {LOAD_TIMEOUT:g} seconds")
        except (GateError, KeyFetchError) as error:
            self._failed(str(error))
        else:
            self._requested_at = started_at
            self._succeeded(keys, max_age)

    def _succeeded(self, keys: Keys, max_age: float | None) -> None:
        now = self._clock()
        self._failures, self._problem = 0, ""
        self._fetched_at, self._retry_at = now, now
        self._stale_at = now + (DEFAULT_TTL if max_age is None else min(max(max_age, MIN_TTL), MAX_TTL))
        if keys != self._keys:
            self._keys = keys
            self.generation += 1

    def _failed(self, problem: str) -> None:
        pause = min(MIN_RETRY_DELAY * 2**self._failures, MAX_RETRY_DELAY) * random.uniform(0.75, 1.25)  # noqa: S311
        self._failures = min(self._failures + 1, 10)  # 2 ** 10 is far over MAX_RETRY_DELAY already
        self._retry_at = self._clock() + pause
        self._problem = f"{self._name}: {problem}"
        log.warning("signing keys could not be fetched: %s", self._problem)
