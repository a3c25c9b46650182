from __future__ import annotations

import asyncio
import time

import pytest

from asgi_llmgate.concurrency.chunks import resolve
from asgi_llmgate.errors import TimedOut
from asgi_llmgate.net import Timeouts
from asgi_llmgate.net.deadline import Deadline


async def wait(deadline: Deadline, seconds: float = 5) -> None:
    with deadline:
        await asyncio.sleep(seconds)


@pytest.mark.parametrize(
    ("timeouts", "phase"),
    [
        (Timeouts(first_byte=0.01), "first_byte"),
        (Timeouts(first_byte=None, total=0.01), "total"),
        (Timeouts(first_byte=0.01, total=5), "first_byte"),
    ],
)
async def test_a_wait_that_is_too_long_says_for_what(timeouts: Timeouts, phase: str) -> None:
    with pytest.raises(TimedOut) as failure:
        await wait(Deadline(timeouts))
    assert failure.value.phase == phase


async def read(deadline: Deadline, seconds: float = 5) -> None:
    """Wait for a body, as HTTPResponse does."""
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()
    loop.call_later(seconds, resolve, waiter)
    deadline.watch(waiter)
    await waiter
    if deadline.is_up:
        raise deadline.error()


@pytest.mark.parametrize(
    ("timeouts", "phase"),
    [(Timeouts(first_byte=0.01), "first_byte"), (Timeouts(first_byte=None, total=0.01), "total")],
)
async def test_a_wait_for_the_body_that_is_too_long_says_for_what(timeouts: Timeouts, phase: str) -> None:
    deadline = Deadline(timeouts)
    await wait(deadline, 0)
    with pytest.raises(TimedOut) as failure:
        await read(deadline)
    assert failure.value.phase == phase


async def test_an_early_byte_shortens_the_wait_for_the_next_one() -> None:
    deadline = Deadline(Timeouts(first_byte=600, idle=0.01))
    await wait(deadline, 0)
    deadline.note_bytes()
    with pytest.raises(TimedOut) as failure:
        await read(deadline)
    assert failure.value.phase == "idle"


async def test_many_short_waits_may_last_longer_than_one_may() -> None:
    deadline = Deadline(Timeouts(first_byte=1, idle=1))
    for _ in range(20):
        deadline.note_bytes()
        await read(deadline, 0.06)
    deadline.close()


async def test_a_wait_that_goes_on_after_a_ping_has_no_more_time() -> None:
    deadline = Deadline(Timeouts(first_byte=1, idle=0.02))
    deadline.note_bytes()

    async def read_with_pings() -> None:
        for _ in range(1000):
            await read(deadline, 0.005)

    with pytest.raises(TimedOut):
        await read_with_pings()


async def test_bytes_that_come_with_the_end_of_the_time_count() -> None:
    deadline = Deadline(Timeouts(first_byte=1, idle=0.005))
    deadline.note_bytes()
    with pytest.raises(TimedOut):
        await read(deadline)
    deadline.note_bytes()
    assert not deadline.is_up


async def test_time_outside_of_the_waits_does_not_count() -> None:
    deadline = Deadline(Timeouts(first_byte=0.01, idle=0.01))
    await wait(deadline, 0)
    for _ in range(2):
        deadline.note_bytes()
        await asyncio.sleep(0.02)
        await read(deadline, 0)


async def test_without_bounds_nothing_is_timed() -> None:
    await wait(Deadline(Timeouts(first_byte=None, idle=None, total=None)), 0.001)


async def test_after_a_timeout_the_task_goes_on_and_may_wait_again() -> None:
    deadline = Deadline(Timeouts(first_byte=0.005, idle=0.005))
    for waits in (wait, wait, read, read):
        with pytest.raises(TimedOut):
            await waits(deadline)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_an_outer_timeout_is_not_taken_for_ours() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await wait(Deadline(Timeouts(first_byte=5)))


async def test_cancellation_from_outside_wins_also_when_the_time_is_up_at_the_same_moment() -> None:
    async def work() -> None:
        with deadline:
            await wakes

    deadline = Deadline(Timeouts(first_byte=0.005))
    wakes = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.get_loop().call_later(0.005, task.cancel)
    time.sleep(0.01)  # both timers are due when the loop next looks
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_inside_is_not_hidden() -> None:
    deadline = Deadline(Timeouts())
    with pytest.raises(ZeroDivisionError), deadline:
        raise ZeroDivisionError
    deadline.close()
