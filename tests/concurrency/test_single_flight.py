from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from asgi_llmgate.net import SingleFlight


class Work:
    """Counts how often it starts, and ends when it is let go."""

    def __init__(self, result: object = "keys") -> None:
        self.started = 0
        self.let_go = asyncio.Event()
        self._result = result

    async def __call__(self) -> Any:
        self.started += 1
        await self.let_go.wait()
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


async def turn() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_hundred_callers_share_one_flight() -> None:
    flight, work = SingleFlight[str](), Work()
    callers = [asyncio.create_task(flight.run("jwks", work)) for _ in range(100)]
    await turn()
    work.let_go.set()
    assert await asyncio.gather(*callers) == ["keys"] * 100
    assert work.started == 1


async def test_keys_fly_apart_and_a_landed_flight_is_over() -> None:
    flight, work = SingleFlight[str](), Work()
    work.let_go.set()
    await asyncio.gather(flight.run("a", work), flight.run("b", work))
    await flight.run("a", work)
    assert work.started == 3


async def test_a_cancelled_caller_does_not_take_the_flight_from_the_others() -> None:
    flight, work = SingleFlight[str](), Work()
    first, second = (asyncio.create_task(flight.run("jwks", work)) for _ in range(2))
    await turn()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.let_go.set()
    assert await second == "keys"


async def test_every_caller_gets_the_failure_and_the_next_one_tries_again() -> None:
    flight, work = SingleFlight[str](), Work(ValueError("no keys"))
    callers = [asyncio.create_task(flight.run("jwks", work)) for _ in range(3)]
    await turn()
    work.let_go.set()
    assert [type(failure) for failure in await asyncio.gather(*callers, return_exceptions=True)] == [ValueError] * 3
    with pytest.raises(ValueError, match="no keys"):
        await flight.run("jwks", work)
    assert work.started == 2


async def test_a_failure_that_nobody_waits_for_is_not_reported_as_lost() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    flight, work = SingleFlight[str](), Work(ValueError("no keys"))
    flight.start("jwks", work)
    work.let_go.set()
    await turn()
    gc.collect()
    assert work.started == 1
    assert reported == []


def test_a_flight_that_a_dead_loop_left_behind_is_not_waited_for() -> None:
    flight = SingleFlight[str]()

    async def leave() -> None:
        flight.start("jwks", Work())
        await turn()

    async def fly() -> str:
        work = Work()
        work.let_go.set()
        return await flight.run("jwks", work)

    for _ in range(10):
        asyncio.run(leave())
        assert asyncio.run(fly()) == "keys"
