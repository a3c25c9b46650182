from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from asgi_llmgate.net import PerLoop


class Resource:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.closed = 0

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture
def holder() -> PerLoop[Resource]:
    return PerLoop(Resource, Resource.aclose)


async def test_a_loop_keeps_its_value(holder: PerLoop[Resource]) -> None:
    assert holder.get() is holder.get()


async def test_closing_is_idempotent_and_the_next_get_makes_another(holder: PerLoop[Resource]) -> None:
    first = holder.get()
    await holder.aclose()
    await holder.aclose()
    assert first.closed == 1
    assert holder.get() is not first


def test_the_values_of_dead_loops_are_closed_and_let_go(holder: PerLoop[Resource]) -> None:
    async def use() -> Resource:
        return holder.get()

    used = [asyncio.run(use()) for _ in range(5)]
    assert [resource.closed for resource in used] == [1, 1, 1, 1, 0]
    first, last = weakref.ref(used[0]), weakref.ref(used[-1])
    used.clear()
    gc.collect()
    assert (first() is None, last() is None) == (True, False)


def test_a_value_is_never_handed_to_another_loop(holder: PerLoop[Resource]) -> None:
    async def is_own() -> bool:
        return holder.get().loop is asyncio.get_running_loop()

    assert all(asyncio.run(is_own()) for _ in range(20))


def test_loops_in_several_threads_do_not_disturb_each_other(holder: PerLoop[Resource]) -> None:
    failures: list[BaseException] = []
    barrier = threading.Barrier(4)

    async def use() -> None:
        for _ in range(50):
            assert holder.get().loop is asyncio.get_running_loop()
        await holder.aclose()

    def run() -> None:
        try:
            barrier.wait()
            asyncio.run(use())
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_close_that_would_wait_on_a_dead_loop_is_given_up() -> None:
    async def close(resource: Resource) -> None:
        resource.closed += 1
        await asyncio.sleep(0)
        raise AssertionError("never reached")

    async def use() -> Resource:
        return holder.get()

    holder = PerLoop(Resource, close)
    first = asyncio.run(use())
    asyncio.run(use())
    assert first.closed == 1


def test_outside_of_a_loop_there_is_nothing_to_get(holder: PerLoop[Resource]) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        holder.get()


@pytest.mark.parametrize("error", [OSError, RuntimeError, ValueError])
def test_what_cannot_be_closed_any_more_does_not_keep_the_next_loop_from_its_own(error: type[Exception]) -> None:
    async def fails(resource: Resource) -> None:
        resource.closed += 1
        raise error

    holder = PerLoop(Resource, fails)

    async def use() -> Resource:
        return holder.get()

    used = [asyncio.run(use()) for _ in range(3)]
    assert [resource.closed for resource in used] == [1, 1, 0]
