from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_llmgate import Exchange, Identity, Limit, LimitMiddleware, SettingsError
from asgi_llmgate.limits.rates import Rate
from asgi_llmgate.limits.store import Claim, MemoryStore
from asgi_llmgate.testing.driver import Driver, call


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


def limited(*limits: Limit, app: Any = answer, clock: Clock | None = None, **claims: Any) -> Any:
    layer = LimitMiddleware(app, limits=limits, store=MemoryStore(now=clock or Clock()))

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        scope, exchange = Exchange.enter(scope)
        team = exchange.headers.get("x-team", "")
        exchange.identity = Identity(provider="idp", claims={"team": team} if team else claims)
        await layer(scope, receive, send)

    return outer


async def ask(app: Any, team: str = "") -> Any:
    return await call(app, "POST", "/v1/messages", json={}, headers={"x-team": team} if team else {})


PER_TEAM = Limit("teams", "jwt.team", requests="3/minute")


async def test_waiting_as_long_as_retry_after_says_gets_in_and_less_does_not() -> None:
    clock = Clock()
    app = limited(PER_TEAM, clock=clock)
    assert [(await ask(app, "a")).status for _ in range(4)] == [200, 200, 200, 429]
    refused = await ask(app, "a")
    wait = int(refused.headers["retry-after"])
    assert wait == 20
    clock.now += wait - 0.01
    assert (await ask(app, "a")).status == 429
    clock.now += 0.01
    assert (await ask(app, "a")).status == 200


async def test_the_refusal_names_the_limit_in_the_anthropic_envelope() -> None:
    app = limited(Limit("teams", "jwt.team", requests="1/minute"))
    await ask(app, "a")
    reply = await ask(app, "a")
    assert reply.json()["error"] == {
        "type": "rate_limit_error",
        "message": "too many requests: 'teams' is limited to 1/minute",
    }
    assert "x-should-retry" not in reply.headers


async def test_a_wait_that_no_client_waits_says_so() -> None:
    app = limited(Limit("teams", "jwt.team", requests="1/day"))
    await ask(app, "a")
    assert (await ask(app, "a")).headers["x-should-retry"] == "false"


async def test_each_key_has_a_bucket_of_its_own_and_those_without_one_share() -> None:
    app = limited(Limit("teams", "jwt.team", requests="1/minute"))
    assert [(await ask(app, team)).status for team in ("a", "b", "a", "", "")] == [200, 200, 429, 200, 429]


async def test_a_limit_counts_only_where_its_condition_holds() -> None:
    app = limited(Limit("m", "jwt.team", requests="1/minute", when='jwt.team == "a"'))
    assert [(await ask(app, team)).status for team in ("a", "a", "b", "b")] == [200, 429, 200, 200]


async def test_what_one_limit_refuses_uses_up_no_other() -> None:
    store = MemoryStore(now=Clock())
    wide, narrow = Claim("wide", "k", Rate.parse("2/minute")), Claim("narrow", "k", Rate.parse("1/minute"))
    assert await store.admit([wide, narrow]) is None
    for _ in range(5):
        assert await store.admit([wide, narrow]) is not None
    assert await store.admit([wide]) is None


async def test_concurrency_is_released_in_every_ending() -> None:
    release = asyncio.Event()
    fate = ""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        if fate == "raise":
            raise RuntimeError
        await answer(scope, receive, send)

    gate = limited(Limit("one", "jwt.team", concurrency=1), app=app)
    async with Driver(gate, "POST", "/", headers={"x-team": "a"}) as first:
        assert (await ask(gate, "a")).status == 429
        release.set()
        assert await first.start() == 200
        await first.finish()
    fate = "raise"
    with pytest.raises(RuntimeError):
        await ask(gate, "a")
    release.clear()
    async with Driver(gate, "POST", "/", headers={"x-team": "a"}) as cancelled:
        assert (await ask(gate, "a")).status == 429
        await cancelled.cancel()
    fate = ""
    release.set()
    assert (await ask(gate, "a")).status == 200


async def test_buckets_are_bounded_and_full_ones_forgotten() -> None:
    clock = Clock()
    store = MemoryStore(capacity=10, now=clock)
    for number in range(1000):
        await store.admit([Claim("l", number, Rate.parse("1/minute"))])
    assert len(store._full_at["l"]) <= 11
    clock.now += 120
    await store.admit([Claim("l", "x", Rate.parse("1/minute"))])
    assert len(store._full_at["l"]) == 1


@pytest.mark.parametrize(
    ("limit", "path"),
    [
        (Limit("a", "jwt.team"), "limits[0]"),
        (Limit("a", "jwt.team", requests="sixty"), "limits[0].requests"),
        (Limit("a", "jwt.team", requests="0/minute"), "limits[0].requests"),
        (Limit("a", "jtw.team", requests="1/minute"), "limits[0].key"),
        (Limit("a", "jwt.team", concurrency=0), "limits[0].concurrency"),
        (Limit("a", "jwt.team", concurrency=1, when="(("), "limits[0].when"),
        (Limit("a", "jwt.team", tokens="1000/day"), "limits[0].tokens"),
        (Limit("a", "jwt.team", cost_usd="5/day"), "limits[0].cost_usd"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_limit_that_cannot_work_is_refused_at_start(limit: Limit, path: str) -> None:
    with pytest.raises(SettingsError) as caught:
        LimitMiddleware(answer, limits=[limit])
    assert caught.value.path == path
