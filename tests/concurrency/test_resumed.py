from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asgi_llmgate.concurrency.resumed import resumed


async def begun(awaitable: Awaitable[Any]) -> Any:
    """The result, with the first step taken by hand; it has to wait."""
    steps: Any = awaitable.__await__()
    return await resumed(steps, next(steps))


async def test_what_waits_several_times_gives_its_result() -> None:
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(3)]

    async def work() -> list[int]:
        return [await future for future in futures]

    task = asyncio.create_task(begun(work()))
    for number, future in enumerate(futures):
        await asyncio.sleep(0)
        future.set_result(number)
    assert await task == [0, 1, 2]


async def test_a_future_and_a_turn_of_the_loop_can_be_waited_for() -> None:
    future = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(begun(future))
    await asyncio.sleep(0)
    future.set_result("done")
    assert await task == "done"
    assert await begun(asyncio.sleep(0, "slept")) == "slept"


async def test_an_error_of_what_it_waits_for_is_its_own() -> None:
    future = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(begun(future))
    await asyncio.sleep(0)
    future.set_exception(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await task


async def raise_again() -> None:
    raise


async def wait_more() -> str:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return "ended late"


async def end() -> str:
    return "ended"


@pytest.mark.parametrize(("then", "result"), [(raise_again, None), (wait_more, "ended late"), (end, "ended")])
async def test_it_is_cancelled_where_it_waits_and_may_clean_up(then: Callable[[], Any], result: str | None) -> None:
    said: list[str] = []

    async def work() -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            said.append("cancelled")
            return await then()

    task = asyncio.create_task(begun(work()))
    await asyncio.sleep(0)
    task.cancel()
    if result is None:
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        assert await task == result
    assert said == ["cancelled"]


async def test_a_time_limit_holds_around_it() -> None:
    async with asyncio.timeout(60) as limit:
        task = asyncio.create_task(begun(asyncio.Event().wait()))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await task
    assert not limit.expired()
    assert task.cancelled()
