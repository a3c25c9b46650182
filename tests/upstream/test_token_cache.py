"""Access tokens between their birth and their end."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest

from asgi_llmgate.errors import CredentialUnavailable
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.upstream.token_cache import DEFAULT_LIFETIME, MIN_REFRESH_INTERVAL, RETRY_INTERVAL, TokenCache


class Source:
    """Gives t1, t2, ... each good for `lifetime` seconds; or fails."""

    def __init__(self, lifetime: float | None = 300.0) -> None:
        self.lifetime = lifetime
        self.asked = 0
        self.down = False
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> tuple[Secret, float | None]:
        self.asked += 1
        count = self.asked
        await self.open.wait()
        if self.down:
            raise CredentialUnavailable("not now", detail="it is down")
        return Secret(f"t{count}"), self.lifetime


class Clock:
    time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> TokenCache:
    return TokenCache(clock, size=3)


async def settled() -> None:
    """Let what runs behind the caller come to its end."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_hundred_who_wait_cost_one_question(tokens: TokenCache) -> None:
    source = Source()
    source.open.clear()
    waiting = [asyncio.create_task(tokens.get("k", source)) for _ in range(100)]
    await settled()
    waiting[0].cancel()
    source.open.set()
    got = await asyncio.gather(*waiting[1:])
    assert {token.reveal() for token in got} == {"t1"}
    assert source.asked == 1


@pytest.mark.parametrize(
    ("lifetime", "good"),
    [(300.0, 289.0), (20.0, 9.0), (None, DEFAULT_LIFETIME - 11)],
    ids=["usual", "short", "not said"],
)
async def test_a_token_is_held_until_shortly_before_its_end(
    tokens: TokenCache, clock: Clock, lifetime: float | None, good: float
) -> None:
    source = Source(lifetime)
    await tokens.get("k", source)
    source.down = True
    clock.time += good
    assert (await tokens.get("k", source)).reveal() == "t1"
    await settled()
    clock.time += 2
    with pytest.raises(CredentialUnavailable):
        await tokens.get("k", source)


async def test_it_is_renewed_behind_a_caller_who_gets_the_old_one(tokens: TokenCache, clock: Clock) -> None:
    source = Source(300.0)
    await tokens.get("k", source)
    clock.time += 259
    assert (await tokens.get("k", source)).reveal() == "t1"
    await settled()
    assert source.asked == 1
    clock.time += 2
    assert (await tokens.get("k", source)).reveal() == "t1"
    await settled()
    assert (await tokens.get("k", source)).reveal() == "t2"


async def test_a_renewal_that_fails_is_tried_again_after_a_pause(tokens: TokenCache, clock: Clock) -> None:
    source = Source(300.0)
    await tokens.get("k", source)
    source.down = True
    clock.time += 261
    for _ in range(10):
        assert (await tokens.get("k", source)).reveal() == "t1"
        await settled()
    assert source.asked == 2
    source.down = False
    clock.time += RETRY_INTERVAL
    await tokens.get("k", source)
    await settled()
    assert (await tokens.get("k", source)).reveal() == "t3"


async def test_each_who_waited_for_nothing_gets_an_exception_of_his_own(tokens: TokenCache) -> None:
    source = Source()
    source.down = True
    source.open.clear()
    waiting = [asyncio.create_task(tokens.get("k", source)) for _ in range(3)]
    await settled()
    source.open.set()
    errors: list[Any] = await asyncio.gather(*waiting, return_exceptions=True)
    assert len({id(error) for error in errors}) == 3
    assert {(str(error), error.detail) for error in errors} == {("not now", "it is down")}
    assert len(tokens) == 0


async def test_what_was_refused_is_let_go_unless_it_is_brand_new(tokens: TokenCache, clock: Clock) -> None:
    source = Source(3600.0)
    await tokens.get("k", source)
    assert tokens.forget("k") is False
    assert (await tokens.get("k", source)).reveal() == "t1"
    clock.time += MIN_REFRESH_INTERVAL
    assert tokens.forget("k") is True
    assert (await tokens.get("k", source)).reveal() == "t2"
    assert tokens.forget("k") is False


async def test_what_was_asked_for_longest_ago_goes_first(tokens: TokenCache) -> None:
    source = Source()
    for key in ("a", "b", "c", "a", "d"):
        await tokens.get(key, source)
    assert (len(tokens), source.asked) == (3, 4)
    await tokens.get("a", source)
    assert source.asked == 4
    await tokens.get("b", source)
    assert source.asked == 5


def in_a_thread(step: Callable[[], Any], wait: float | None = None) -> None:
    """Run a step in another thread, as another worker's event loop would; `wait`: it may have to wait for us."""
    thread = threading.Thread(target=step)
    thread.start()
    thread.join(wait)


async def test_a_token_that_another_thread_lets_go_while_it_is_being_held_is_given_all_the_same(
    clock: Clock, tokens: TokenCache
) -> None:
    class Interrupted(OrderedDict[Any, Any]):
        def __setitem__(self, key: Any, value: Any) -> None:
            super().__setitem__(key, value)
            clock.time += MIN_REFRESH_INTERVAL
            in_a_thread(lambda: tokens.forget(key), 0.05)

    tokens._tokens = Interrupted()
    assert (await tokens.get("k", Source(3600.0))).reveal() == "t1"


async def test_who_lets_a_refused_token_go_leaves_the_one_that_another_thread_has_obtained(clock: Clock) -> None:
    source = Source(3600.0)
    interruptions: list[Callable[[], None]] = []

    def now() -> float:
        if interruptions:
            in_a_thread(interruptions.pop())
        return clock.time

    tokens = TokenCache(now)
    await tokens.get("k", source)
    clock.time += MIN_REFRESH_INTERVAL

    def obtain_another() -> None:
        tokens.forget("k")
        asyncio.run(tokens.get("k", source))

    interruptions.append(obtain_another)
    assert tokens.forget("k") is True
    assert (await tokens.get("k", source)).reveal() == "t2"
    assert source.asked == 2
