from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

import pytest

from asgi_llmgate import Exchange, Gateway, Identity, Limit, LimitMiddleware, SettingsError
from asgi_llmgate.cel import Expression
from asgi_llmgate.exchange_values import Call, Target
from asgi_llmgate.limits.rates import Rate
from asgi_llmgate.limits.store import Admission, Claim, MemoryStore, Shortage
from asgi_llmgate.policy.cases import Asked
from asgi_llmgate.testing.driver import Driver, call

STARTED = datetime(2026, 11, 26, 12, 0, 0, 500_000, tzinfo=UTC).timestamp()


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
        exchange.started_at = STARTED
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
        "message": "too many requests: 'teams' is limited to 1/minute; try again in 60 seconds",
    }
    assert "x-should-retry" not in reply.headers


LIMITS = [
    [Limit("a", "jwt.team", requests="3/second")],
    [Limit("a", "jwt.team", requests="7/minute")],
    [Limit("a", "jwt.team", requests="50/hour")],
    [Limit("burst", "jwt.team", requests="5/second"), Limit("a", "jwt.team", requests="9/minute")],
    [Limit("day", "jwt.team", requests="20/day"), Limit("burst", "jwt.team", requests="2/second")],
]


@pytest.mark.parametrize("limits", LIMITS, ids=lambda limits: " and ".join(limit.requests for limit in limits))
async def test_waiting_is_true_whatever_was_asked_before(limits: list[Limit]) -> None:
    """Of several limits that refuse, the longest wait counts: after it, all of them admit."""
    clock = Clock()
    app = limited(*limits, clock=clock)
    refused = 0
    for step in range(300):
        reply = await ask(app, "a")
        if reply.status == 429:
            refused += 1
            clock.now += int(reply.headers["retry-after"])
            assert (await ask(app, "a")).status == 200
        clock.now += step % 3 / 10
    assert refused > 5


async def test_what_is_left_stands_in_the_headers_of_each_answer() -> None:
    app = limited(Limit("teams", "jwt.team", requests="2/minute"), Limit("all", "'x'", requests="100/hour"))
    replies = [await ask(app, "a") for _ in range(3)]
    names = [f"anthropic-ratelimit-requests-{name}" for name in ("limit", "remaining")]
    assert [(reply.status, *(reply.headers[name] for name in names)) for reply in replies] == [
        (200, "2", "1"),
        (200, "2", "0"),
        (429, "2", "0"),
    ]
    resets = [reply.headers["anthropic-ratelimit-requests-reset"] for reply in replies]
    assert resets == ["2026-11-26T12:00:31Z", "2026-11-26T12:01:01Z", "2026-11-26T12:01:01Z"]  # in whole seconds, up


async def test_without_a_rate_no_header_speaks_of_one() -> None:
    reply = await ask(limited(Limit("one", "jwt.team", concurrency=1)), "a")
    assert not [name for name in reply.headers if name.startswith("anthropic-ratelimit")]


async def test_a_claim_that_is_a_lone_text_counts_as_the_rules_see_it() -> None:
    """Else a caller would have one bucket for "a" and another for ["a"]."""
    layer = LimitMiddleware(answer, limits=[Limit("teams", "jwt.teams[0]", requests="1/minute")], list_claims=["teams"])

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        scope, exchange = Exchange.enter(scope)
        teams = exchange.headers["x-teams"]
        exchange.identity = Identity(provider="idp", claims={"teams": [teams] if exchange.method == "PUT" else teams})
        await layer(scope, receive, send)

    statuses = [(await call(outer, method, "/", headers={"x-teams": "a"})).status for method in ("POST", "PUT")]
    assert statuses == [200, 429]


async def test_a_store_of_ones_own_counts() -> None:
    class OneForAll:
        """A store as one that workers share would be: it knows nothing but the claims."""

        def __init__(self) -> None:
            self.seen: list[Claim] = []
            self.released = 0

        async def admit(self, claims: Any) -> Admission:
            self.seen.extend(claims)
            return Admission(Shortage(claims[0], 7.2, "what the database says") if len(self.seen) > 1 else None)

        def release(self, claims: Any) -> None:
            self.released += len(claims)

    store = OneForAll()
    layer = LimitMiddleware(answer, limits=[Limit("teams", "jwt.team", requests="60/minute")], store=store)
    replies = [await call(layer, "POST", "/") for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 429]
    assert replies[1].headers["retry-after"] == "8"
    assert (len(store.seen), store.released) == (2, 1)


def test_it_says_at_start_that_each_worker_counts_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    LimitMiddleware(answer, limits=[PER_TEAM])
    [record] = caplog.records
    assert (record.name, record.levelname) == ("llmgate", "WARNING")
    assert record.getMessage() == "limits are counted per worker process: n workers admit n times teams"
    caplog.clear()
    LimitMiddleware(answer, limits=[PER_TEAM], store=MemoryStore())
    assert caplog.records == []


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
    assert (await store.admit([wide, narrow])).shortage is None
    for _ in range(5):
        shortage = (await store.admit([wide, narrow])).shortage
        assert shortage is not None
        assert shortage.claim is narrow
    assert (await store.admit([wide])).shortage is None


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


BEFORE = [
    ("a key in the claims", Limit("l", "jwt.team", concurrency=1), True),
    ("a constant key", Limit("l", "'all'", concurrency=1), True),
    ("a condition on the request", Limit("l", "jwt.team", concurrency=1, when="request.method == 'POST'"), True),
    ("a rate beside it", Limit("l", "jwt.team", concurrency=1, requests="9/minute"), True),
    ("a key in the call", Limit("l", "llm.requestModel", concurrency=1), False),
    ("a key in both", Limit("l", "jwt.team + llm.model", concurrency=1), False),
    ("a condition on the call", Limit("l", "jwt.team", concurrency=1, when="llm.streaming"), False),
    ("a rate only", Limit("l", "jwt.team", requests="1/minute"), False),
]


@pytest.mark.parametrize(("limit", "early"), [row[1:] for row in BEFORE], ids=[row[0] for row in BEFORE])
async def test_a_slot_that_needs_nothing_of_the_body_is_taken_before_it_and_once(limit: Limit, early: bool) -> None:
    class Counting(MemoryStore):
        def __init__(self) -> None:
            super().__init__(now=Clock())
            self.admitted: list[str] = []

        async def admit(self, claims: Any) -> Admission:
            self.admitted += [f"{where}{'slot' if claim.concurrency else 'rate'}" for claim in claims]
            return await super().admit(claims)

    where, store = "", Counting()
    layer = LimitMiddleware(answer, limits=[limit], store=store)

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        nonlocal where
        where = "late "
        Exchange.of(scope).call = Call(Asked(stream=True), (Target("b", "p", "m"),))
        await layer(scope, receive, send)

    front = layer.before_body(reading)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        scope, exchange = Exchange.enter(scope)
        exchange.identity = Identity(provider="idp", claims={"team": "a"})
        await front(scope, receive, send)

    for _ in range(3):
        where = ""
        assert (await ask(outer)).status == 200 or limit.requests == "1/minute"
    wanted = ["slot" if early else "late slot"] if limit.concurrency else []
    wanted += ["late rate"] if limit.requests else []
    assert store.admitted == wanted * 3
    assert store._running == {}


async def test_buckets_are_bounded_and_full_ones_forgotten() -> None:
    clock = Clock()
    store = MemoryStore(capacity=10, now=clock)
    for number in range(1000):
        await store.admit([Claim("l", number, Rate.parse("1/minute"))])
    assert len(store._full_at["l"]) <= 11
    clock.now += 120
    for key in "xy":
        await store.admit([Claim("l", key, Rate.parse("1/minute"))])
    assert list(store._full_at["l"]) == ["x", "y"]


@pytest.mark.parametrize("count", [1, 2, 9, 100, 20_000])
async def test_no_request_pays_for_the_buckets_of_all_before_it(count: int) -> None:
    """Those of yesterday's callers go with the next requests, a few with each."""
    clock = Clock()
    store, rate = MemoryStore(now=clock), Rate.parse("1/second")
    for number in range(count):
        await store.admit([Claim("l", number, rate)])
    buckets = store._full_at["l"]
    assert isinstance(buckets, OrderedDict)  # a plain dict walks over what was deleted to find its first
    clock.now += 86_400
    requests, work = 0, []
    while len(buckets) > 1:
        held = len(buckets)
        await store.admit([Claim("l", f"new-{requests}", rate)])
        clock.now += 2
        work.append(held + 1 - len(buckets))
        requests += 1
        assert requests <= count
    assert max(work, default=0) <= 8
    assert requests <= count // 7 + 1


@pytest.mark.parametrize("capacity", [1, 2, 10])
async def test_buckets_never_outnumber_the_capacity_by_more_than_the_newest(capacity: int) -> None:
    clock = Clock()
    store = MemoryStore(capacity=capacity, now=clock)
    for number in range(500):
        await store.admit([Claim("l", number, Rate.parse("1/day"))])
        assert len(store._full_at["l"]) <= capacity
    assert (await store.admit([Claim("l", 499, Rate.parse("1/day"))])).shortage is not None


@pytest.mark.parametrize(
    ("limit", "path"),
    [
        (Limit("a", "jwt.team"), "limits[0]"),
        (Limit("a", "jwt.team", requests="sixty"), "limits[0].requests"),
        (Limit("a", "jwt.team", requests="0/minute"), "limits[0].requests"),
        (Limit("a", "jtw.team", requests="1/minute"), "limits[0].key"),
        (Limit("a", "jwt.team", concurrency=0), "limits[0].concurrency"),
        (Limit("a", "jwt.team", concurrency=1, when="(("), "limits[0].when"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_limit_that_cannot_work_is_refused_at_start(limit: Limit, path: str) -> None:
    with pytest.raises(SettingsError) as caught:
        LimitMiddleware(answer, limits=[limit])
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"cost_usd": "500/month"}, "limits[0].cost_usd: needs a shared store, which is not there yet"),
        ({"tokens": "2000000/day"}, "limits[0].tokens: needs a shared store, which is not there yet"),
        ({"requests": "60/minute", "store": "redis"}, "limits[0].store: known, but not there yet in this version"),
        ({"requests": "60/fortnight"}, "limits[0].requests: not a rate: '60/fortnight' (such as 60/minute)"),
        ({"request": "60/minute"}, "limits[0].request: unknown key (did you mean requests?)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_ask_for_what_is_not_there_are_refused_by_name(more: dict[str, str], said: str) -> None:
    settings = {
        "auth": {"mode": "off"},
        "policy": {"default": "allow"},
        "backends": {"o": {"base_url": "http://127.0.0.1:9/v1"}},
        "models": [{"match": "*", "use": "o/m"}],
        "limits": [{"name": "team", "key": "jwt.team", **more}],
    }
    with pytest.raises(SettingsError) as raised:
        Gateway.from_settings(settings)
    assert str(raised.value).startswith(said)


async def test_one_call_that_ends_makes_room_for_one() -> None:
    store = MemoryStore(now=Clock())
    claim = Claim("l", "k", concurrency=3)
    assert [(await store.admit([claim])).shortage is None for _ in range(4)] == [True, True, True, False]
    store.release([claim])
    assert [(await store.admit([claim])).shortage is None for _ in range(2)] == [True, False]
    for _ in range(2):
        store.release([claim])
    assert [(await store.admit([claim])).shortage is None for _ in range(3)] == [True, True, False]


async def test_a_limit_may_read_a_variable_of_the_hosts_own() -> None:
    limit = Limit("plans", "plan", requests="1/minute")
    variables = {"plan": lambda exchange, scope: exchange.headers["x-plan"]}
    layer = LimitMiddleware(answer, limits=[limit], store=MemoryStore(now=Clock()), variables=variables)

    async def status(plan: str) -> int:
        return (await call(layer, "POST", "/v1/messages", json={}, headers={"x-plan": plan})).status

    assert [await status(plan) for plan in ("free", "free", "paid", "paid")] == [200, 429, 200, 429]


async def test_the_claim_of_a_caller_is_worked_out_once_and_is_no_other_callers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []
    evaluate = Expression.evaluate
    evaluated: list[str] = []

    def counted(expression: Expression, *arguments: Any) -> Any:
        evaluated.append(str(expression))
        return evaluate(expression, *arguments)

    class Claims(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            read.append(name)
            return super().get(name, default)

    limits = [Limit("teams", "jwt.team", requests="2/minute", when="jwt.counts"), Limit("all", "1", requests="9/hour")]
    layer = LimitMiddleware(answer, limits=limits, store=MemoryStore(now=Clock()))
    callers = [Identity(provider="idp", claims=Claims(team=team, counts=team != "c")) for team in "aabc"]

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        scope, exchange = Exchange.enter(scope)
        exchange.identity = callers[int(exchange.headers["x-team"])]
        await layer(scope, receive, send)

    assert [(await ask(outer, number)).status for number in "0123"] == [200] * 4
    read.clear()
    monkeypatch.setattr(Expression, "evaluate", counted)
    assert [(await ask(outer, number)).status for number in "0123"] == [429, 429, 200, 200]
    assert read == []
    assert evaluated == []
