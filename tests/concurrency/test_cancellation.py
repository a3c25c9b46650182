from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable

import pytest

from asgi_llmgate.concurrency.cancellation import CancelScope, cancel_and_wait


class First(Exception):
    pass


class Second(Exception):
    pass


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def wait_in(scope: CancelScope, before: Callable[[], object] = bool) -> None:
    with scope:
        before()
        await for_ever()


async def nested(outer: CancelScope, inner: CancelScope) -> str:
    """What comes out of two blocks in one another, and what of the inner one alone."""
    inside = ""
    try:
        with outer:
            try:
                with inner:
                    await for_ever()
            except BaseException as error:
                inside = f"{type(error).__name__}, "
                raise
    except (First, Second) as error:
        return inside + type(error).__name__
    return "ended by itself"


def told(inside: str, outside: str) -> str:
    return f"{inside}, {outside}"


CANCELLED = "CancelledError"
BOTH = {  # what is done, in this order, in one turn of the loop -> what comes out of the inner and the outer block
    "inner": told("First", "First"),
    "outer": told(CANCELLED, "Second"),
    "inner outer": told(CANCELLED, "Second"),
    "outer inner": told(CANCELLED, "Second"),
    "inner inner": told("First", "First"),
    "outer outer": told(CANCELLED, "Second"),
    "task": CANCELLED,
    "task inner": CANCELLED,
    "inner task": CANCELLED,
    "task outer": CANCELLED,
    "outer task": CANCELLED,
    "task task": CANCELLED,
    **{" ".join(order): CANCELLED for order in itertools.permutations(("inner", "outer", "task"))},
    **{" ".join(order): CANCELLED for order in itertools.permutations(("task", "inner", "task", "outer"))},
}


@pytest.mark.parametrize(("order", "outcome"), BOTH.items())
async def test_what_comes_out_when_several_cancel_at_once(order: str, outcome: str) -> None:
    outer, inner = CancelScope(), CancelScope()
    left: list[int] = []

    async def work() -> str:
        task = asyncio.current_task()
        assert task is not None
        try:
            return await nested(outer, inner)
        finally:
            left.append(task.cancelling())
            assert not outer.entered
            assert not inner.entered

    task = asyncio.create_task(work())
    await turns()
    asked = order.split()
    for who in asked:
        {"inner": lambda: inner.cancel(First), "outer": lambda: outer.cancel(Second), "task": task.cancel}[who]()
    await asyncio.wait((task,))
    assert (CANCELLED if task.cancelled() else task.result()) == outcome
    assert left == [asked.count("task")]


async def test_cancelled_before_it_is_entered_a_block_ends_where_it_first_waits() -> None:
    scope = CancelScope()
    scope.cancel(First)
    reached: list[bool] = []
    with pytest.raises(First):
        await wait_in(scope, lambda: reached.append(True))
    assert reached
    await turns()


@pytest.mark.parametrize("before", [True, False], ids=["before it", "in it"])
async def test_a_block_that_does_not_wait_is_not_ended_and_nothing_is_left_for_what_comes_after_it(
    before: bool,
) -> None:
    scope = CancelScope()
    if before:
        scope.cancel(First)
    with scope:
        if not before:
            scope.cancel(First)
    await turns()
    with scope:
        await turns()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_task_may_cancel_its_own_block() -> None:
    scope = CancelScope()
    with pytest.raises(First):
        await wait_in(scope, lambda: scope.cancel(First))


async def test_after_the_block_the_task_goes_on() -> None:
    scope = CancelScope()
    for _ in range(3):
        with pytest.raises(First):
            await wait_in(scope, lambda: asyncio.get_running_loop().call_soon(scope.cancel, First))
        await turns()


async def test_what_the_block_raises_itself_comes_out() -> None:
    for error in (ValueError, asyncio.CancelledError, KeyboardInterrupt):
        with pytest.raises(error), CancelScope():
            raise error


async def test_an_error_while_a_cancelled_block_is_left_comes_out_and_no_cancellation_stays() -> None:
    async def work() -> None:
        with CancelScope() as scope:
            asyncio.get_running_loop().call_soon(scope.cancel, First)
            try:
                await for_ever()
            finally:
                raise ValueError

    with pytest.raises(ValueError):
        await work()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await turns()


async def test_the_first_error_counts() -> None:
    scope, loop = CancelScope(), asyncio.get_running_loop()
    loop.call_soon(scope.cancel, First)
    loop.call_soon(scope.cancel, Second)
    with pytest.raises(First):
        await wait_in(scope)


async def test_in_another_task_the_block_of_a_finished_one_is_none() -> None:
    scope = CancelScope()

    async def work() -> None:
        scope.__enter__()

    task = asyncio.create_task(work())
    await task
    scope.cancel(First)
    await turns()
    assert task.result() is None


def test_without_a_task_there_is_no_block() -> None:
    async def nothing() -> None:
        pass

    loop = asyncio.new_event_loop()
    try:
        failures: list[BaseException] = []

        def enter() -> None:
            try:
                CancelScope().__enter__()
            except RuntimeError as error:
                failures.append(error)

        loop.call_soon(enter)
        loop.run_until_complete(asyncio.sleep(0))
        assert len(failures) == 1
    finally:
        loop.close()


class Helper:
    """A task that takes `steps` more waits to end after each cancellation, and keeps what it uses until then."""

    def __init__(self, steps: int) -> None:
        self.using = True
        self.cancelled = 0
        self._steps = steps

    async def run(self) -> None:
        try:
            await for_ever()
        except asyncio.CancelledError:
            self.cancelled += 1
            for _ in range(self._steps):
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    self.cancelled += 1
            raise
        finally:
            self.using = False


@pytest.mark.parametrize("steps", range(5))
@pytest.mark.parametrize("times", range(5))
async def test_a_task_of_ours_has_ended_before_we_go_on_however_often_we_are_cancelled(steps: int, times: int) -> None:
    helper = Helper(steps)

    async def work() -> None:
        task = asyncio.create_task(helper.run())
        await turns()
        try:
            await cancel_and_wait(task)
        finally:
            assert not helper.using
            assert task.cancelled()

    task = asyncio.create_task(work())
    await turns(5)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait((task,))
    assert helper.cancelled >= 1
    if not task.cancelled():
        assert task.exception() is None
        assert times == 0 or steps < times
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_task_that_has_ended_already_is_not_waited_for() -> None:
    task = asyncio.create_task(turns(0))
    await task
    await cancel_and_wait(task)


async def test_a_generator_is_closed_only_when_nobody_reads_from_it() -> None:
    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            await for_ever()
        finally:
            await turns()

    async def read(numbers: AsyncIterator[int]) -> None:
        async for _ in numbers:
            pass

    async def work() -> None:
        numbers = source()
        task = asyncio.create_task(read(numbers))
        await turns()
        try:
            await cancel_and_wait(task)
        finally:
            await numbers.aclose()  # type: ignore[attr-defined]  # RuntimeError, if `read` were not over

    task = asyncio.create_task(work())
    await turns(5)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
