from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from asgi_llmgate.concurrency.chunks import ReadByTask, iterate
from asgi_llmgate.errors import Broken


class Source:
    """Gives some chunks, and then waits, ends or fails. `end` is how it was left."""

    def __init__(self, *chunks: bytes, then: str | Exception = "waits") -> None:
        self.given = 0
        self.end = ""
        self._chunks = chunks
        self._then = then

    async def read(self) -> AsyncGenerator[bytes, None]:
        try:
            for chunk in self._chunks:
                self.given += 1
                yield chunk
            if isinstance(self._then, Exception):
                raise self._then
            if self._then == "waits":
                await asyncio.get_running_loop().create_future()
            self.end = "read"
        except (asyncio.CancelledError, GeneratorExit) as error:
            self.end = type(error).__name__
            raise


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def read(chunks: ReadByTask) -> bytes | None:
    async with asyncio.timeout(5):
        return await anext(iterate(chunks), None)


async def test_a_chunk_is_read_when_it_is_asked_for_and_taken_without_waiting() -> None:
    source = Source(b"a", b"b", then="ends")
    chunks = ReadByTask(source.read())
    assert chunks.take() == b""
    assert source.given == 0
    await chunks.more()
    await turn()
    assert (source.given, chunks.take(), chunks.take()) == (1, b"a", b"")
    assert [await read(chunks), await read(chunks)] == [b"b", None]
    assert chunks.take() is None
    assert chunks.has_ended
    await chunks.aclose()


async def test_an_error_comes_after_what_was_read_before_it_and_each_time() -> None:
    chunks = ReadByTask(Source(b"a", then=Broken("cut off")).read())
    assert await read(chunks) == b"a"
    for _ in range(2):
        with pytest.raises(Broken):
            await read(chunks)
    assert not chunks.has_ended
    await chunks.aclose()


async def test_a_reader_that_stops_waiting_reads_on_later() -> None:
    chunks = ReadByTask(Source(b"a", b"b", then="ends").read())
    chunks.more().set_result(None)
    chunks.more().cancel()
    await turn()
    await chunks.more()  # what was read meanwhile is still there
    assert [chunk async for chunk in iterate(chunks)] == [b"a", b"b"]
    await chunks.more()  # of an end too
    await chunks.aclose()


async def test_an_empty_chunk_is_none() -> None:
    chunks = ReadByTask(Source(b"", b"a", b"", then="ends").read())
    assert [await read(chunks), await read(chunks)] == [b"a", None]
    await chunks.aclose()


@pytest.mark.parametrize(
    ("source", "end"), [(Source(), "CancelledError"), (Source(b"a"), "GeneratorExit")], ids=["it waits", "it is held"]
)
async def test_closing_ends_the_source_wherever_it_is(source: Source, end: str) -> None:
    chunks = ReadByTask(source.read())
    chunks.more()
    await turn()
    await chunks.aclose()
    assert source.end == end
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_source_that_was_not_read_is_closed_as_well() -> None:
    source = Source(b"a")
    generator = source.read()
    await ReadByTask(generator).aclose()
    assert [chunk async for chunk in generator] == []
    assert source.given == 0


def test_an_exception_that_ends_the_process_is_an_end_for_the_reader_too() -> None:
    class Stop(BaseException):
        """As KeyboardInterrupt, which would end pytest."""

    async def source() -> AsyncGenerator[bytes, None]:
        raise Stop
        yield

    async def main() -> None:
        chunks = ReadByTask(source())
        try:
            await read(chunks)
        finally:
            await chunks.aclose()

    with pytest.raises(Stop):
        asyncio.run(main())
