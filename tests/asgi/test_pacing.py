from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from asgi_llmgate.asgi import Paced
from asgi_llmgate.concurrency.chunks import ReadByTask
from asgi_llmgate.errors import Broken


class Source:
    """A stream that gives what is put into it; an exception is raised, None ends it."""

    def __init__(self, *items: bytes | BaseException | None) -> None:
        self.given = 0
        self.cancelled = False
        self._items: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        for item in items:
            self.put(item)

    def put(self, item: bytes | BaseException | None) -> None:
        self._items.put_nowait(item)

    async def read(self) -> AsyncGenerator[bytes, None]:
        while True:
            try:
                item = await self._items.get()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            self.given += 1
            yield item


def paced(source: Source, every: float | None = 5.0, **options: Any) -> Paced:
    async def open_source() -> Any:
        return ReadByTask(source.read())

    return Paced(open_source, every=every, **options)


def clock() -> float:
    return asyncio.get_running_loop().time()


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_chunks_come_one_by_one_to_a_reader_that_waits_for_them() -> None:
    source = Source()
    async with paced(source) as chunks:
        for sent in (b"a", b"b"):
            waiting = asyncio.ensure_future(anext(chunks))
            await turn()
            source.put(sent)
            assert await waiting == sent
        source.put(None)
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)


async def test_silence_gives_none_and_takes_nothing_from_the_source() -> None:
    source = Source()
    async with paced(source, 0.005) as chunks:
        assert await anext(chunks) is None
        assert await anext(chunks) is None
        source.put(b"late")
        assert await anext(chunks) == b"late"
        assert not source.cancelled


async def test_what_is_being_sent_to_the_client_is_no_silence() -> None:
    async with paced(Source(), 0.005, sent_at=clock) as chunks:
        waiting = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        waiting.cancel()


@pytest.mark.parametrize("every", [0.005, 30.0])
async def test_the_first_silence_has_a_length_of_its_own(every: float) -> None:
    async with paced(Source(), every, first=0.005) as chunks:
        assert await anext(chunks) is None


async def test_what_the_client_is_not_sent_is_silence_whatever_the_source_sends() -> None:
    """Hidden reasoning: a chunk each millisecond, and nothing for the client."""
    source, sent_at = Source(), clock()
    async with paced(source, 0.01, sent_at=lambda: sent_at) as chunks:
        signals = 0
        while signals < 3:
            source.put(b"x")
            chunk = await anext(chunks)
            signals += chunk is None
            await asyncio.sleep(0.001)
        assert source.given > 3


async def test_a_signal_takes_the_place_of_no_chunk() -> None:
    source = Source(b"a")
    async with paced(source, 0.001) as chunks:
        await asyncio.sleep(0.01)
        assert [await anext(chunks), await anext(chunks)] == [None, b"a"]


async def test_a_stream_that_does_not_end_is_ended() -> None:
    source = Source(b"a")
    async with paced(source) as chunks:
        assert await anext(chunks) == b"a"
        chunks.end_after(0.005)
        assert [chunk async for chunk in chunks] == []
    assert source.cancelled


async def test_of_several_times_to_end_the_shortest_counts() -> None:
    async with paced(Source()) as chunks:
        for seconds in (1e6, 0.005, 1e6):
            chunks.end_after(seconds)
        assert [chunk async for chunk in chunks] == []


async def test_a_stream_that_goes_on_is_ended_too() -> None:
    source = Source()

    async def beat() -> None:
        while True:
            source.put(b": keep-alive")
            await asyncio.sleep(0)

    beating = asyncio.ensure_future(beat())
    async with paced(source, sent_at=lambda: None) as chunks:
        await anext(chunks)
        chunks.end_after(0.005)
        async for chunk in chunks:
            assert chunk is not None
            chunks.end_after(0.005)  # without effect from the second time on, unless it is shorter
    read = source.given
    await turn()
    assert source.given == read
    beating.cancel()
    await asyncio.wait([beating])


async def test_the_end_waits_for_as_long_as_the_client_is_sent_something() -> None:
    sent_at = [clock()]
    async with paced(Source(), 0.001, sent_at=lambda: sent_at[-1]) as chunks:
        chunks.end_after(0.2)  # of which a busy machine may use much
        ending = asyncio.ensure_future(anext(chunks, "the end"))
        for _ in range(3):
            await asyncio.sleep(0.01)
            sent_at.append(clock())
        assert await ending == "the end"  # and no signal before it
        assert clock() >= sent_at[-1] + 0.2


async def test_a_reader_that_is_busy_costs_no_more_than_a_look_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def counting_call_at(*given: Any, **options: Any) -> asyncio.TimerHandle:
        nonlocal looks
        looks += 1
        return call_at(*given, **options)  # type: ignore[no-any-return]

    loop = asyncio.get_running_loop()
    call_at: Any = loop.call_at
    async with paced(Source(), 0.005):
        monkeypatch.setattr(loop, "call_at", counting_call_at)
        await asyncio.sleep(0.02)
    assert 1 <= looks <= 6


async def test_without_an_interval_there_are_no_pauses() -> None:
    source = Source()
    async with paced(source, None) as chunks:
        waiting = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        source.put(b"a")
        assert await waiting == b"a"


async def test_an_error_comes_after_the_chunks_before_it() -> None:
    async with paced(Source(b"a", Broken("cut off"))) as chunks:
        assert await anext(chunks) == b"a"
        for _ in range(2):
            with pytest.raises(Broken):
                await anext(chunks)


async def test_an_error_wakes_a_reader_that_waits() -> None:
    source = Source()
    async with paced(source) as chunks:
        waiting = asyncio.ensure_future(anext(chunks))
        await turn()
        source.put(Broken("cut off"))
        with pytest.raises(Broken):
            await waiting


async def test_an_empty_source_ends_at_once() -> None:
    async with paced(Source(None)) as chunks:
        assert [chunk async for chunk in chunks] == []


async def test_leaving_the_block_ends_the_read_that_is_under_way() -> None:
    source = Source()
    async with paced(source) as chunks:
        waiting = asyncio.ensure_future(anext(chunks))
        await turn()
        waiting.cancel()
    assert source.cancelled


class Opening:
    """Opens a source when it is told to; `end` is what becomes of it."""

    def __init__(self) -> None:
        self.may_open = asyncio.Event()
        self.end = ""

    async def __call__(self) -> Opening:
        try:
            await self.may_open.wait()
        except asyncio.CancelledError:
            self.end = "cancelled"
            raise
        return self

    def take(self) -> bytes | None:
        return None

    def more(self) -> asyncio.Future[None]:
        raise AssertionError

    async def aclose(self) -> None:
        self.end = "closed"


async def test_a_source_that_is_being_opened_is_silent_too() -> None:
    opening = Opening()
    async with Paced(opening, every=0.005) as chunks:
        assert await anext(chunks) is None
        opening.may_open.set()
        assert [chunk async for chunk in chunks if chunk is not None] == []
    assert opening.end == "closed"


async def test_leaving_the_block_ends_the_opening() -> None:
    opening = Opening()
    async with Paced(opening, every=5.0):
        await turn()
    assert opening.end == "cancelled"


async def test_a_source_that_was_opened_and_not_read_is_closed() -> None:
    opening = Opening()
    async with Paced(opening, every=5.0):
        opening.may_open.set()
        await turn()
    assert opening.end == "closed"


@pytest.mark.parametrize("every", [None, 5.0])
async def test_a_source_that_cannot_be_opened_is_an_error(every: float | None) -> None:
    async def fail() -> None:
        raise Broken("cannot be opened")

    with pytest.raises(Broken):
        async with Paced(fail, every=every) as chunks:
            await anext(chunks)


@pytest.mark.parametrize("every", [None, 5.0])
async def test_a_source_may_have_no_chunks_at_all(every: float | None) -> None:
    async def none() -> None:
        return None

    async with Paced(none, every=every) as chunks:
        assert [chunk async for chunk in chunks] == []


async def test_a_reader_that_is_cancelled_gets_its_cancellation() -> None:
    async def read() -> None:
        async with paced(Source()) as chunks:
            await anext(chunks)

    task = asyncio.create_task(read())
    await turn()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
