from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from asgi_llmgate.asgi import Draining
from asgi_llmgate.errors import ShuttingDown


async def work(draining: Draining, started: asyncio.Event) -> str:
    """A call that never ends by itself: how it ended."""
    try:
        async with draining.call():
            started.set()
            await asyncio.Event().wait()
    except ShuttingDown:
        await asyncio.sleep(0)  # the task can go on
        return "shut down"
    raise AssertionError


async def begun(draining: Draining) -> asyncio.Task[str]:
    started = asyncio.Event()
    task = asyncio.create_task(work(draining, started))
    await started.wait()
    return task


@pytest.fixture
def terminated() -> Iterator[list[int]]:
    """The SIGTERMs that reach the handler which was there before ours."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    yield heard
    signal.signal(signal.SIGTERM, before)


async def test_open_calls_are_ended_when_their_time_is_over() -> None:
    draining = Draining(after=0)
    tasks = [await begun(draining) for _ in range(3)]
    assert not draining.begun
    draining.begin()
    assert draining.begun
    assert await asyncio.gather(*tasks) == ["shut down"] * 3


async def test_calls_have_until_then() -> None:
    draining = Draining(after=60)
    task = await begun(draining)
    draining.begin()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    async with draining.call():
        pass
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_that_comes_too_late_is_ended_at_once() -> None:
    draining = Draining(after=0)
    draining.begin()
    draining.begin()
    assert await (await begun(draining)) == "shut down"


async def test_what_the_call_itself_raises_comes_out() -> None:
    draining = Draining(after=0)
    for error in (TimeoutError, ValueError, asyncio.CancelledError):
        with pytest.raises(error):
            async with draining.call():
                raise error
    with pytest.raises(TimeoutError):
        async with draining.call(), asyncio.timeout(0):
            await asyncio.Event().wait()


async def test_a_call_that_a_closed_loop_has_left_open_is_in_nobodys_way() -> None:
    draining = Draining(after=0)
    call = draining.call()
    loop = asyncio.new_event_loop()
    await asyncio.to_thread(loop.run_until_complete, call.__aenter__())
    loop.close()
    task = await begun(draining)
    draining.begin()
    assert await task == "shut down"
    await draining.finish()


async def test_it_may_begin_in_another_thread() -> None:
    draining = Draining(after=0)
    task = await begun(draining)
    await asyncio.to_thread(draining.begin)
    assert await task == "shut down"


async def test_sigterm_ends_calls_and_reaches_the_handler_that_was_there(terminated: list[int]) -> None:
    draining = Draining(after=0, signal=True)
    for _ in range(3):  # for each request
        draining.install_handler()
    task = await begun(draining)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await task == "shut down"
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0)
    assert terminated == [signal.SIGTERM] * 2


async def test_without_the_setting_no_handler_is_touched(terminated: list[int]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    Draining(after=0).install_handler()
    assert signal.getsignal(signal.SIGTERM) is before


def test_beside_the_main_thread_it_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    draining = Draining(after=0, signal=True)

    def listen() -> None:
        draining.install_handler()
        draining.install_handler()

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    (said,) = caplog.messages
    assert said.startswith("server.drain.signal: ")


ALONE = """
import asyncio, os, signal
from asgi_llmgate.asgi import Draining
from asgi_llmgate.errors import ShuttingDown

async def main():
    draining = Draining(after=0, signal=True)
    draining.install_handler()
    try:
        async with draining.call():
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
    except ShuttingDown:
        print("shut down", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_where_the_signal_would_have_ended_the_process_it_does_when_the_calls_have_ended() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("shut down\n", "", -signal.SIGTERM)


@contextmanager
def open_request(draining: Draining) -> Iterator[None]:
    over = draining.begin_request()
    try:
        yield
    finally:
        draining.end_request(over)


async def test_finishing_ends_what_is_open_now_and_waits_for_its_last_words() -> None:
    draining = Draining(after=3600)
    said: list[str] = []

    async def request(started: asyncio.Event) -> None:
        with open_request(draining):
            said.append(await work(draining, started))
            for _ in range(10):
                await asyncio.sleep(0)
            said.append("record")

    started = asyncio.Event()
    task = asyncio.create_task(request(started))
    await started.wait()
    await draining.finish()
    assert said == ["shut down", "record"]
    await task
    assert not draining.begun
    await draining.finish()


async def test_finishing_leaves_alone_what_the_server_is_cancelling_already() -> None:
    draining = Draining()
    said: list[str] = []

    async def request(started: asyncio.Event) -> None:
        with open_request(draining):
            try:
                async with draining.call():
                    started.set()
                    try:
                        await asyncio.Event().wait()
                    finally:
                        await asyncio.sleep(0.02)
                        said.append("closed")
            except asyncio.CancelledError:
                said.append("cancelled")
                raise

    started = asyncio.Event()
    task = asyncio.create_task(request(started))
    await started.wait()
    task.cancel()
    await asyncio.sleep(0)
    await draining.finish()
    assert said == ["closed", "cancelled"]
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_finishing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_llmgate.asgi.draining.LAST_SECONDS", 0.01)
    draining = Draining()

    async def deaf(started: asyncio.Event) -> None:
        with open_request(draining):
            started.set()
            await asyncio.Event().wait()

    started = asyncio.Event()
    task = asyncio.create_task(deaf(started))
    await started.wait()
    await draining.finish()
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
