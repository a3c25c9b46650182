"""Made-up tokens lock nobody out: callers take turns at asking the provider."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_llmgate.auth import Introspection, JWTAuthMiddleware, JWTProvider, TokenRefused, Verifier, introspection_queue
from asgi_llmgate.auth.introspection_queue import (
    MAX_CONCURRENT,
    MAX_WAITING,
    RESERVED_FOR_KNOWN,
    IntrospectionBusy,
    IntrospectionQueue,
)
from asgi_llmgate.auth.verifier import CACHE_SIZE
from asgi_llmgate.errors import KeysUnavailable
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.testing.driver import Driver
from tests.auth.conftest import NOW, Clock, Web
from tests.auth.test_introspection import CLIENT, URL

UNKNOWN = MAX_CONCURRENT - RESERVED_FOR_KNOWN


class SlowDesk:
    """The provider: it knows what begins with `good`, and answers a question when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._open: deque[asyncio.Future[None]] = deque()
        self.most = 0

    async def __call__(self, form: bytes) -> Any:
        [token] = parse_qs(form.decode())["token"]
        self.asked.append(token)
        self._open.append(asyncio.get_running_loop().create_future())
        self.most = max(self.most, len(self._open))
        await self._open[-1]
        if not token.startswith("good"):
            return {"active": False}
        return {"active": True, "sub": token, "aud": "llm", "exp": int(NOW) + 10**6, "iat": int(NOW)}

    async def answer(self, count: int = 10**6) -> None:
        """The oldest questions, one after the other."""
        await settled()
        while count and self._open:
            self._open.popleft().set_result(None)
            count -= 1
            await settled()


async def settled() -> None:
    """Until everybody waits for the provider."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def desk(web: Web) -> SlowDesk:
    web.pages[URL] = desk = SlowDesk()
    return desk


@pytest.fixture
async def verifier_of(web: Web, provider: Callable[..., JWTProvider], desk: SlowDesk, clock: Clock) -> Any:
    return Verifier([provider(introspection=Introspection(URL, CLIENT))], fetch=web.fetch, now=clock, clock=clock)


@pytest.fixture
async def ask(verifier_of: Verifier) -> AsyncIterator[Any]:
    """`ask(token, client)` as a task; the result is what came of it."""
    tasks = []

    def start(token: str, client: str) -> asyncio.Task[Any]:
        async def asking() -> Any:
            try:
                return (await verifier_of.verify(token, client)).subject
            except (TokenRefused, KeysUnavailable) as error:
                return type(error)

        tasks.append(asyncio.create_task(asking()))
        return tasks[-1]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def attack(ask: Any, addresses: int, each: int) -> list[asyncio.Task[Any]]:
    return [ask(f"bad-{n}-{place}", f"10.0.0.{place}") for n in range(each) for place in range(addresses)]


@pytest.mark.parametrize(("addresses", "each"), [(1, 2000), (20, 100), (100, 20)])
async def test_callers_with_good_tokens_get_their_turn_among_attackers(
    ask: Any, desk: SlowDesk, addresses: int, each: int
) -> None:
    attackers = attack(ask, addresses, each)
    await settled()
    assert len(desk.asked) == UNKNOWN
    good = [ask(f"good-{n}", f"192.0.2.{n}") for n in range(20)]
    attackers += attack(lambda token, client: ask(f"{token}-again", client), addresses, each // 3)
    await desk.answer(UNKNOWN + addresses + 20)
    assert [await task for task in good] == [f"good-{n}" for n in range(20)]
    assert desk.most <= MAX_CONCURRENT
    waiting = sum(not task.done() for task in attackers)
    assert waiting <= MAX_WAITING + MAX_CONCURRENT


async def test_who_was_known_goes_first_also_from_the_attackers_own_address(
    ask: Any, desk: SlowDesk, clock: Clock
) -> None:
    good = [ask(f"good-{n}", "10.0.0.1") for n in range(20)]
    await desk.answer()
    assert [await task for task in good] == [f"good-{n}" for n in range(20)]
    clock.advance(301)  # what was remembered counts no more
    attack(ask, 1, 1500)
    await settled()
    asked = len(desk.asked)
    good = [ask(f"good-{n}", "10.0.0.1") for n in range(20)]
    await settled()
    assert desk.asked[asked:] == [f"good-{n}" for n in range(RESERVED_FOR_KNOWN)]  # without waiting for anybody
    await desk.answer(UNKNOWN + 20)
    assert [await task for task in good] == [f"good-{n}" for n in range(20)]


async def test_a_token_that_was_withdrawn_is_known_no_longer(
    ask: Any, desk: SlowDesk, clock: Clock, verifier_of: Verifier
) -> None:
    first = ask("good-1", "")
    await desk.answer()
    assert await first == "good-1"
    assert len(verifier_of._accepted) == 1
    clock.advance(10**6 + 301)
    second = ask("good-1", "")
    await desk.answer()
    assert await second is TokenRefused  # expired
    assert len(verifier_of._accepted) == 0


async def test_tokens_that_nobody_knows_drive_no_good_one_out_of_memory(
    ask: Any, desk: SlowDesk, verifier_of: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = ask("good-1", "")
    await desk.answer()
    assert await good == "good-1"
    asked = [ask(f"bad-{n}", "") for n in range(1000 + UNKNOWN)]
    await desk.answer()
    assert {await task for task in asked} == {TokenRefused}
    assert len(verifier_of._rejected) <= CACHE_SIZE // 10
    before = len(desk.asked)
    assert await ask("good-1", "") == "good-1"
    assert len(desk.asked) == before


async def test_a_hundred_callers_with_one_token_are_one_question(ask: Any, desk: SlowDesk) -> None:
    same = [ask("good-1", f"192.0.2.{n}") for n in range(100)]
    await desk.answer()
    assert {await task for task in same} == {"good-1"}
    assert desk.asked == ["good-1"]


async def test_the_address_is_that_of_the_request(
    web: Web, provider: Callable[..., JWTProvider], desk: SlowDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[str] = []
    monkeypatch.setattr(introspection_queue, "_fairness_key", lambda client: [shares.append(client), client][1])

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        assert Exchange.of(scope).identity.subject == "good-1"
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    layer = JWTAuthMiddleware(
        inner, providers=[provider(introspection=Introspection(URL, CLIENT))], client=web, now=lambda: NOW
    )
    headers, scope = {"authorization": "Bearer good-1"}, {"client": ("198.51.100.7", 1)}
    async with Driver(layer, "GET", "/", headers=headers, scope=scope) as client:
        await desk.answer()
        assert await client.start() == 204
    assert shares == ["198.51.100.7"]


SHAPES = [
    "a b", "a,b", "a;b", "a\tb", "a\nb", "a\0b", "a\"b", "a=b", "=a", "=", "", " ", "a ", "\u00e9", "a\u00a0", "a%20b",
    "a:b", "a@b", "{a}", "a\\b", "<a>", "a|b", "a'b", "a&b", "a?b", "a#b", "a!b", "a*b", "a$b", "a^b", "a`b", "\ud800",
    "a" * 16385,
]  # fmt: skip


@pytest.mark.parametrize("token", SHAPES, ids=lambda token: ascii(token[:20]))
async def test_what_can_be_no_token_is_no_question(ask: Any, desk: SlowDesk, token: str) -> None:
    assert await ask(token, "") is TokenRefused
    assert desk.asked == []


ALIKE = [
    ("10.0.0.1", "10.0.0.1", True),
    ("10.0.0.1", "10.0.0.2", False),
    ("::ffff:10.0.0.1", "10.0.0.1", True),
    ("2001:db8::1", "2001:db8::ffff:ffff", True),
    ("2001:db8::1", "2001:0db8:0:0:1::", True),
    ("2001:db8::1", "2001:db8:0:1::1", False),
    ("fe80::1%eth0", "fe80::2%eth1", True),
    ("", "", True),
    ("unix:", "", False),
    ("x" * 1000, "x" * 999, True),
]


@pytest.mark.parametrize(("one", "other", "alike"), ALIKE)
def test_addresses_that_one_subscriber_has_are_one(one: str, other: str, alike: bool) -> None:
    assert (introspection_queue._fairness_key(one) == introspection_queue._fairness_key(other)) is alike


async def test_who_waits_too_long_is_told_so_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introspection_queue, "MAX_WAIT", 0)
    desk = IntrospectionQueue()
    for _ in range(UNKNOWN):
        await desk._wait("a", False)
    for _ in range(20):
        with pytest.raises(IntrospectionBusy, match="no turn within 0 seconds"):
            await desk._wait("b", False)
    assert (desk._waiting, desk._unknown, desk._running) == (0, {}, UNKNOWN)


STEP = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from("abc"), st.booleans()),
    st.tuples(st.just("answer"), st.integers(0, 50), st.booleans()),
    st.tuples(st.just("cancel"), st.integers(0, 50), st.booleans()),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(STEP, max_size=60), st.integers(1, 3), st.integers(0, 4))
def test_whatever_callers_do_places_are_neither_lost_nor_doubled(steps: list[Any], at_once: int, waiting: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(introspection_queue, "MAX_CONCURRENT", at_once)
        patch.setattr(introspection_queue, "RESERVED_FOR_KNOWN", at_once - 1)
        patch.setattr(introspection_queue, "MAX_WAITING", waiting)
        asyncio.run(_whatever(steps, at_once, waiting))


async def _whatever(steps: list[Any], at_once: int, waiting: int) -> None:
    desk, doors, tasks = IntrospectionQueue(), [], []
    inside = 0

    async def caller(client: str, known: bool, door: asyncio.Event) -> None:
        nonlocal inside
        try:
            async with desk.turn(client, known=known):
                inside += 1
                try:
                    await door.wait()
                finally:
                    inside -= 1
        except IntrospectionBusy:
            pass

    for step, what, flag in steps:
        if step == "ask":
            doors.append(asyncio.Event())
            tasks.append(asyncio.create_task(caller(what, flag, doors[-1])))
        elif tasks and step == "answer":
            doors[what % len(doors)].set()
        elif tasks:
            tasks[what % len(tasks)].cancel()
        if flag:
            await settled()
            assert inside == desk._running <= at_once
            assert desk._waiting == sum(map(len, desk._unknown.values())) <= waiting
    for door in doors:
        door.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (desk._running, desk._unknown_running, desk._waiting, desk._unknown, len(desk._known)) == (0, 0, 0, {}, 0)
