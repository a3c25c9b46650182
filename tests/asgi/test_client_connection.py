from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from asgi_llmgate._types import ASGIApp, Message, Receive, Scope, Send
from asgi_llmgate.asgi import ClientConnection, Paced
from asgi_llmgate.concurrency.chunks import ReadByTask
from asgi_llmgate.errors import Broken, ClientGone
from asgi_llmgate.testing.driver import Driver, call

Work = Callable[[ClientConnection], Awaitable[None]]


class Answering:
    """An app that does `work` with its client, and says how the connection ended."""

    def __init__(self, work: Work, *, stall: float | None = 60.0) -> None:
        self.ending: BaseException | None = None
        self.cleaned_up = False
        self._work = work
        self._stall = stall

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with ClientConnection(receive, send, stall=self._stall) as client:
                try:
                    await self._work(client)
                finally:
                    self.cleaned_up = True
        except BaseException as ending:
            self.ending = ending
            if not isinstance(ending, ClientGone):
                raise


async def for_ever(client: ClientConnection) -> None:
    await client.start(200, [(b"content-type", b"text/event-stream")])
    await client.send(b"first")
    await asyncio.Event().wait()


async def silent() -> Message:
    """The receive of a client that neither leaves nor says anything."""
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    yield
    running = [str(task.get_coro()) for task in asyncio.all_tasks()]
    assert not [name for name in running if "ClientConnection" in name or "Paced" in name]


async def test_an_answer_is_sent_in_order_and_empty_parts_are_left_out() -> None:
    async def work(client: ClientConnection) -> None:
        assert not client.started
        await client.start(200, [(b"x-a", b"1")])
        assert client.started
        for part in (b"one", b"", b"two"):
            await client.send(part)
        await client.end(b"three")

    app = Answering(work)
    reply = await call(app)
    assert (reply.status, reply.headers["x-a"], reply.body) == (200, "1", b"onetwothree")
    assert app.ending is None


async def test_a_client_that_leaves_cancels_the_work_where_it_stands() -> None:
    app = Answering(for_ever)
    async with Driver(app) as client:
        assert await client.chunk() == b"first"
        client.disconnect()
        await client.finish()
    assert isinstance(app.ending, ClientGone)
    assert app.cleaned_up


async def test_a_client_that_leaves_before_the_answer_begins_is_noticed_too() -> None:
    async def work(client: ClientConnection) -> None:
        await asyncio.Event().wait()

    app = Answering(work)
    async with Driver(app) as client:
        client.disconnect()
        await client.finish()
    assert isinstance(app.ending, ClientGone)


async def test_the_disconnect_that_follows_a_whole_answer_is_not_the_clients_leaving() -> None:
    finish = asyncio.Event()

    async def work(client: ClientConnection) -> None:
        await client.start(200, [])
        await client.end(b"all")
        await finish.wait()  # the Driver says http.disconnect by now, as servers do

    app = Answering(work)
    async with Driver(app) as client:
        assert await client.chunk() == b"all"
        for _ in range(5):
            await asyncio.sleep(0)
        finish.set()
        await client.finish()
    assert app.ending is None


async def test_a_server_that_raises_when_the_client_has_left_is_understood() -> None:
    async def send(message: Message) -> None:
        raise BrokenPipeError("the client has left")

    async def answer() -> None:
        async with ClientConnection(silent, send) as client:
            await client.start(200, [])

    with pytest.raises(ClientGone):
        await answer()


@pytest.mark.parametrize("reads", [1, 2], ids=["in the middle", "at the last part"])
async def test_a_client_that_stops_reading_is_gone_after_a_while(reads: int) -> None:
    async def send(message: Message) -> None:
        nonlocal reads
        if reads == 0:
            await asyncio.Event().wait()
        reads -= 1

    async def answer() -> None:
        async with ClientConnection(silent, send, stall=0.01) as client:
            await client.start(200, [])
            await client.send(b"x")
            await client.end(b"y")

    with pytest.raises(ClientGone):
        await answer()


@pytest.mark.parametrize("stall", [60.0, None, 0.01])
@pytest.mark.parametrize("waits", [False, True], ids=["before a send", "during one"])
async def test_who_is_in_a_hurry_waits_less_for_a_client_that_does_not_read(stall: float | None, waits: bool) -> None:
    async def send(message: Message) -> None:
        await asyncio.Event().wait()

    async def answer() -> None:
        async with ClientConnection(silent, send, stall=stall) as client:
            if waits:
                asyncio.get_running_loop().call_soon(client.hurry, 0.02)
            else:
                client.hurry(0.02)
            await client.start(200, [])

    with pytest.raises(ClientGone):
        await asyncio.wait_for(answer(), 5)


async def test_silence_of_the_model_is_no_stall_of_the_client() -> None:
    async def work(client: ClientConnection) -> None:
        await client.start(200, [])
        await asyncio.sleep(0.03)
        await client.end(b"late")

    app = Answering(work, stall=0.01)
    assert (await call(app)).body == b"late"
    assert app.ending is None


async def test_cancellation_from_outside_is_passed_on() -> None:
    app = Answering(for_ever)
    async with Driver(app) as client:
        await client.chunk()
        await client.cancel()
    assert isinstance(app.ending, asyncio.CancelledError)


async def test_cancellation_from_outside_wins_over_a_client_that_leaves_at_the_same_time() -> None:
    async def never() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    async def work() -> None:
        async with ClientConnection(never, send):
            await asyncio.Event().wait()

    gone = asyncio.Event()
    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gone.set()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_after_the_client_has_gone_the_task_can_go_on() -> None:
    written = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal written
        await receive()
        with pytest.raises(ClientGone):
            async with ClientConnection(receive, send):
                await asyncio.Event().wait()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        async with asyncio.timeout(1):
            await asyncio.sleep(0)
        written = True

    async with Driver(app) as client:
        client.disconnect()
        await client.finish()
    assert written


async def test_the_work_s_own_error_comes_out_of_the_block() -> None:
    async def work(client: ClientConnection) -> None:
        raise Broken("cut off")

    app = Answering(work)
    with pytest.raises(Broken):
        await call(app)


@pytest.mark.parametrize("leaves_first", [True, False])
async def test_an_error_at_the_moment_when_the_client_leaves_leaves_no_cancellation_behind(leaves_first: bool) -> None:
    async def leaves() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    async def answer() -> None:
        async with ClientConnection(leaves, send):
            await ended
            raise Broken("cut off")

    async def work() -> str:
        with pytest.raises((Broken, ClientGone)):
            await answer()
        await asyncio.sleep(0)
        return "went on"

    gone = asyncio.Event()
    ended = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if leaves_first:
        gone.set()
    ended.set_result(None)
    gone.set()
    assert await task == "went on"


async def test_a_receive_that_fails_is_a_lost_connection() -> None:
    async def fails() -> Message:
        raise RuntimeError("the transport is closed")

    async def send(message: Message) -> None:
        pass

    with pytest.raises(ClientGone):
        async with ClientConnection(fails, send):
            await asyncio.Event().wait()


async def test_what_is_left_of_the_body_is_not_taken_for_a_disconnect() -> None:
    async def work(client: ClientConnection) -> None:
        await client.start(200, [])
        await proceed.wait()
        await client.end(b"done")

    proceed = asyncio.Event()
    async with Driver(Answering(work), "POST", content=None) as client:
        client.upload(b"first", more=True)
        await client.start()
        client.upload(b"rest")
        await asyncio.sleep(0)
        proceed.set()
        assert await client.chunk() == b"done"
        await client.finish()


async def test_the_example_of_the_docstring_closes_its_upstream_when_the_client_leaves() -> None:
    closed = asyncio.Event()

    async def upstream() -> AsyncGenerator[bytes, None]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def open_upstream() -> Any:
        return ReadByTask(upstream())

    async def work(client: ClientConnection) -> None:
        await client.start(200, [])
        async with Paced(open_upstream, every=0.005) as chunks:
            async for chunk in chunks:
                await client.send(b": ping" if chunk is None else chunk)

    app: ASGIApp = Answering(work)
    async with Driver(app) as client:
        assert await client.chunk() == b"first"
        assert await client.chunk() == b": ping"
        assert await client.chunk() == b": ping"
        client.disconnect()
        await client.finish()
    assert closed.is_set()
