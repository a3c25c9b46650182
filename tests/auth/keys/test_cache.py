"""Fetches are counted: by need, by time, by failures, by event loops."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk

from asgi_llmgate.auth.keys import cache
from asgi_llmgate.auth.keys.cache import FileKeys, FixedKeys, RemoteKeys
from asgi_llmgate.auth.keys.key_set import Keys, read_keys
from asgi_llmgate.auth.keys.sources import KeyFetchError
from asgi_llmgate.errors import KeysUnavailable, Unreachable


def documents(kid: str) -> dict[str, Any]:
    return {"keys": [jwk.OKPKey.generate_key("Ed25519", {"kid": kid, "alg": "EdDSA"}).as_dict(private=False)]}


OLD, NEW = documents("old"), documents("new")


class IdP:
    """Answers with `document`, or raises `error`, as soon as `gate` is open."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = OLD
        self.error: Exception | None = None
        self.max_age: float | None = None
        self.fetches = 0
        self.gate: asyncio.Event | None = None

    async def load(self) -> tuple[Keys, float | None]:
        self.fetches += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return read_keys(self.document, origin="test"), self.max_age


@pytest.fixture
def idp() -> IdP:
    return IdP()


@pytest.fixture
def keys(idp: IdP, clock: Any) -> RemoteKeys:
    return RemoteKeys(idp.load, name="test", clock=clock, cooldown=30)


async def settled() -> None:
    """Let a fetch that was started behind a request come to its end."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_hundred_cold_requests_are_one_fetch(idp: IdP, keys: RemoteKeys) -> None:
    found = await asyncio.gather(*(keys.find("old") for _ in range(100)))
    assert idp.fetches == 1
    assert all("old" in each.by_kid for each in found)


async def test_fresh_keys_are_not_fetched_again(idp: IdP, keys: RemoteKeys, clock: Any) -> None:
    await keys.find("old")
    clock.advance(299)
    await keys.find("old")
    await settled()
    assert idp.fetches == 1


async def test_stale_keys_are_used_while_new_ones_are_fetched_behind(idp: IdP, keys: RemoteKeys, clock: Any) -> None:
    await keys.find("old")
    clock.advance(301)
    idp.document, idp.gate = NEW, asyncio.Event()
    assert "old" in (await keys.find("old")).by_kid
    idp.gate.set()
    await settled()
    assert "new" in (await keys.find("new")).by_kid
    assert idp.fetches == 2


@pytest.mark.parametrize(
    ("max_age", "fresh_for"), [(None, 300), (0, 60), (59, 60), (3600, 3600), (10**9, 82800)], ids=str
)
async def test_the_answer_says_how_long_keys_are_fresh_within_bounds(
    max_age: float | None, fresh_for: float, idp: IdP, keys: RemoteKeys, clock: Any
) -> None:
    idp.max_age = max_age
    await keys.find("old")
    clock.advance(fresh_for - 1)
    await keys.find("old")
    await settled()
    assert idp.fetches == 1
    clock.advance(1)
    await keys.find("old")
    await settled()
    assert idp.fetches == 2


async def test_an_identity_provider_that_is_down_does_not_matter_for_a_day(
    idp: IdP, keys: RemoteKeys, clock: Any
) -> None:
    await keys.find("old")
    idp.error = Unreachable("gone")
    for _ in range(23 * 60):
        clock.advance(60)
        assert "old" in (await keys.find("old")).by_kid
        await settled()
    assert idp.fetches <= 23 * 60
    clock.advance(3600)
    with pytest.raises(KeysUnavailable, match="signing keys could not be fetched"):
        await keys.find("old")


async def test_not_even_where_keys_are_fresh_for_long(idp: IdP, keys: RemoteKeys, clock: Any) -> None:
    idp.max_age = 10**9
    await keys.find("old")
    idp.error = Unreachable("gone")
    clock.advance(82800)
    for _ in range(59):
        clock.advance(60)
        assert "old" in (await keys.find("old")).by_kid
        await settled()


async def test_an_identity_provider_that_does_not_answer_is_not_waited_for_for_ever(
    idp: IdP, keys: RemoteKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "LOAD_TIMEOUT", 0)
    idp.gate = asyncio.Event()
    with pytest.raises(KeysUnavailable) as caught:
        await keys.find("old")
    assert caught.value.detail == "test: no response within 0 seconds"


async def test_it_recovers_by_itself(idp: IdP, keys: RemoteKeys, clock: Any) -> None:
    idp.error = Unreachable("gone")
    with pytest.raises(KeysUnavailable):
        await keys.find("old")
    idp.error = None
    clock.advance(2)
    assert "old" in (await keys.find("old")).by_kid


async def test_while_it_is_down_requests_are_answered_at_once(idp: IdP, keys: RemoteKeys, clock: Any) -> None:
    idp.error = Unreachable("gone")
    for _ in range(50):
        with pytest.raises(KeysUnavailable) as caught:
            await keys.find("old")
        assert caught.value.retry_after is not None
        assert 1 <= caught.value.retry_after <= 2
        assert "test: gone" in caught.value.detail
    assert idp.fetches == 1


async def test_the_pause_between_failed_fetches_grows_to_a_minute(idp: IdP, keys: RemoteKeys, clock: Any) -> None:
    idp.error = Unreachable("gone")
    times: list[float] = []
    for _ in range(1000):
        before = idp.fetches
        with pytest.raises(KeysUnavailable):
            await keys.find("old")
        if idp.fetches > before:
            times.append(clock())
        clock.advance(0.5)
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert 0.75 <= pauses[0] <= 1.75
    assert 45 <= pauses[-1] <= 75.5


async def test_a_new_key_that_signs_at_once_is_fetched_at_once(idp: IdP, keys: RemoteKeys, clock: Any) -> None:
    await keys.find("old")
    idp.document = NEW
    clock.advance(1)
    assert "new" in (await keys.find("new")).by_kid
    assert idp.fetches == 2


async def test_ten_thousand_random_kids_are_one_fetch_per_cooldown(idp: IdP, keys: RemoteKeys, clock: Any) -> None:
    await keys.find("old")
    clock.advance(1)
    await asyncio.gather(*(keys.find(f"random-{number}") for number in range(10_000)))
    assert idp.fetches == 2
    clock.advance(30)
    for number in range(100):
        await keys.find(f"again-{number}")
    assert idp.fetches == 3


async def test_an_unknown_kid_on_a_cold_start_is_one_fetch(idp: IdP, keys: RemoteKeys) -> None:
    await keys.find("random")
    assert idp.fetches == 1


async def test_who_comes_while_a_new_key_is_fetched_waits_for_it(idp: IdP, keys: RemoteKeys, clock: Any) -> None:
    await keys.find("old")
    clock.advance(1)
    idp.document, idp.gate = NEW, asyncio.Event()
    first = asyncio.create_task(keys.find("new"))
    await settled()
    second = asyncio.create_task(keys.find("new"))
    await settled()
    idp.gate.set()
    assert all("new" in found.by_kid for found in await asyncio.gather(first, second))
    assert idp.fetches == 2


@pytest.mark.parametrize("start", ["cold", "stale", "unknown kid"])
async def test_an_answer_that_is_older_than_the_new_key_is_asked_for_again(idp: IdP, clock: Any, start: str) -> None:
    """The key is rotated while a slow answer with the old ones is on its way."""
    gate = asyncio.Event()
    gate.set()

    async def load() -> tuple[Keys, float | None]:
        idp.fetches += 1
        found = read_keys(idp.document, origin="test")
        await gate.wait()
        return found, None

    keys = RemoteKeys(load, name="test", clock=clock, cooldown=30)
    if start != "cold":
        await keys.find("old")
        clock.advance(cache.DEFAULT_TTL + 1 if start == "stale" else 1)
    gate.clear()
    slow = asyncio.create_task(keys.find("another" if start == "unknown kid" else "old"))
    await settled()
    clock.advance(1)
    idp.document = NEW
    callers = [asyncio.create_task(keys.find("new")) for _ in range(100)]
    await settled()
    clock.advance(0 if start != "unknown kid" else 30)
    gate.set()
    await slow
    assert all("new" in found.by_kid for found in await asyncio.gather(*callers)) is (start != "unknown kid")
    assert idp.fetches == {"cold": 2, "stale": 3, "unknown kid": 2}[start]
    clock.advance(1)
    assert "new" in (await keys.find("new")).by_kid


async def test_a_listed_key_that_cannot_be_used_is_no_reason_to_fetch(idp: IdP, keys: RemoteKeys, clock: Any) -> None:
    idp.document = {"keys": [*OLD["keys"], {"kty": "RSA", "kid": "enc", "use": "enc", "n": "AQAB", "e": "AQAB"}]}
    await keys.find("old")
    clock.advance(1)
    await keys.find("enc")
    assert idp.fetches == 1


async def test_a_failed_fetch_for_a_new_kid_keeps_the_keys_and_the_cooldown(
    idp: IdP, keys: RemoteKeys, clock: Any
) -> None:
    await keys.find("old")
    idp.error = KeyFetchError("no JWKS")
    clock.advance(1)
    for _ in range(50):
        assert "old" in (await keys.find("new")).by_kid
    assert idp.fetches == 2


async def test_who_leaves_does_not_take_the_keys_from_the_others(idp: IdP, keys: RemoteKeys) -> None:
    idp.gate = asyncio.Event()
    leaving, staying = asyncio.create_task(keys.find("old")), asyncio.create_task(keys.find("old"))
    await settled()
    leaving.cancel()
    idp.gate.set()
    assert "old" in (await staying).by_kid
    assert idp.fetches == 1


async def test_the_generation_rises_only_when_keys_change(idp: IdP, keys: RemoteKeys, clock: Any) -> None:
    await keys.find("old")
    seen = keys.generation
    clock.advance(301)
    await keys.find("old")
    await settled()
    assert (idp.fetches, keys.generation) == (2, seen)
    idp.document = NEW
    clock.advance(301)
    await keys.find("old")
    await settled()
    assert keys.generation == seen + 1


def test_event_loops_come_and_go(idp: IdP, keys: RemoteKeys, clock: Any) -> None:
    for _ in range(20):
        asyncio.run(keys.find("old"))
        clock.advance(301)
    assert 19 <= idp.fetches <= 20


def test_a_loop_that_dies_in_the_middle_of_a_fetch_does_no_harm(idp: IdP, keys: RemoteKeys) -> None:
    async def give_up() -> None:
        idp.gate = asyncio.Event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await keys.find("old")

    asyncio.run(give_up())
    idp.gate = None
    assert "old" in asyncio.run(keys.find("old")).by_kid


@pytest.fixture
def file(tmp_path: Path) -> Callable[[Any], Path]:
    def write(document: Any) -> Path:
        path = tmp_path / "jwks.json"
        scratch = tmp_path / "scratch"
        scratch.write_text(document if isinstance(document, str) else json.dumps(document))
        os.replace(scratch, path)
        return path

    return write


async def test_a_file_is_read_again_when_it_changes(file: Callable[[Any], Path]) -> None:
    keys = FileKeys(file(OLD))
    assert "old" in (await keys.find("old")).by_kid
    assert (await keys.find("old")) is (await keys.find("old"))
    seen = keys.generation
    file(NEW)
    assert "new" in (await keys.find("new")).by_kid
    assert keys.generation == seen + 1


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"keys": null}', '{"keys": {}}', "{}"])
async def test_a_broken_file_leaves_the_last_keys_in_force_and_is_told_once(
    broken: str, file: Callable[[Any], Path], caplog: pytest.LogCaptureFixture
) -> None:
    keys = FileKeys(file(OLD))
    await keys.find("old")
    file(broken)
    for _ in range(3):
        assert "old" in (await keys.find("old")).by_kid
    assert caplog.text.count("cannot be read") == 1


async def test_a_file_may_come_later(file: Callable[[Any], Path], tmp_path: Path) -> None:
    keys = FileKeys(tmp_path / "jwks.json")
    for _ in range(2):
        with pytest.raises(KeysUnavailable):
            await keys.find("old")
    file(OLD)
    assert "old" in (await keys.find("old")).by_kid


# What /readyz says


async def test_health_starts_fetches_behind_and_knows_their_result(idp: IdP, keys: RemoteKeys, clock: Any) -> None:
    idp.error = Unreachable("gone")
    assert keys.failing() is False  # not known yet
    await settled()
    assert keys.failing() is True
    await settled()
    assert idp.fetches == 1  # the pause between failed fetches counts here too
    idp.error = None
    clock.advance(2)
    assert keys.failing() is True
    await settled()
    assert keys.failing() is False
    await settled()
    assert idp.fetches == 2  # fresh


def test_health_can_be_asked_outside_of_an_event_loop(keys: RemoteKeys) -> None:
    assert keys.failing() is False


async def test_health_of_a_file_is_that_of_its_last_reading(file: Callable[[Any], Path], tmp_path: Path) -> None:
    keys = FileKeys(tmp_path / "jwks.json")
    assert keys.failing() is True
    file(OLD)
    assert keys.failing() is False
    assert FixedKeys(await keys.find("old")).failing() is False
