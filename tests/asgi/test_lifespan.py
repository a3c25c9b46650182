from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asgi_llmgate._types import ASGIApp, Message, Receive, Scope, Send
from asgi_llmgate.asgi import run_lifespan

Lifespan = Callable[[ASGIApp], Awaitable[list[str]]]

COMPLETE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


class Host:
    """A host that speaks the protocol; `says` replaces what it answers to startup and shutdown."""

    def __init__(self, diary: list[str], *says: str) -> None:
        self._diary = diary
        self._says = says or COMPLETE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for answer in self._says:
            message = await receive()
            self._diary.append(f"host {message['type'].partition('.')[2]}")
            await send({"type": answer})
            if answer.endswith("failed"):
                return


def through(gateway: Any, host: ASGIApp | None = None) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await run_lifespan(gateway, scope, receive, send, host=host)

    return app


async def test_a_gateway_on_its_own_answers_for_itself(lifespan: Lifespan, fake_gateway: Any) -> None:
    gateway = fake_gateway()
    assert await lifespan(through(gateway)) == COMPLETE
    assert gateway.diary == ["gateway up", "gateway down"]


async def test_the_gateway_is_up_before_the_host_and_down_after_it(lifespan: Lifespan, fake_gateway: Any) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def noting_send(message: Message) -> None:
            gateway.diary.append(f"server told {message['type'].partition('.')[2]}")
            await send(message)

        await run_lifespan(gateway, scope, receive, noting_send, host=Host(gateway.diary))

    gateway = fake_gateway()
    assert await lifespan(app) == COMPLETE
    assert gateway.diary == [
        "gateway up",
        "host startup",
        "server told startup.complete",
        "host shutdown",
        "gateway down",
        "server told shutdown.complete",
    ]


async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("Django can only handle ASGI/HTTP connections, not lifespan.")


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    pass


@pytest.mark.parametrize("host", [raises, returns])
async def test_a_host_that_knows_no_lifespan_is_answered_for(
    lifespan: Lifespan, fake_gateway: Any, host: ASGIApp
) -> None:
    gateway = fake_gateway()
    assert await lifespan(through(gateway, host)) == COMPLETE
    assert gateway.diary == ["gateway up", "gateway down"]


@pytest.mark.parametrize(
    ("says", "said"),
    [
        (["lifespan.startup.failed"], ["lifespan.startup.failed"]),
        (
            ["lifespan.startup.complete", "lifespan.shutdown.failed"],
            ["lifespan.startup.complete", "lifespan.shutdown.failed"],
        ),
    ],
)
async def test_a_host_that_fails_takes_the_gateway_down_once(
    lifespan: Lifespan, fake_gateway: Any, says: list[str], said: list[str]
) -> None:
    gateway = fake_gateway()
    assert await lifespan(through(gateway, Host(gateway.diary, *says))) == said
    assert gateway.diary.count("gateway down") == 1
    assert gateway.diary[-1] == "gateway down"


async def test_a_host_that_raises_after_it_was_started_is_left_to_the_server(
    lifespan: Lifespan, fake_gateway: Any
) -> None:
    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise RuntimeError("the host's database is away")

    gateway = fake_gateway()
    with pytest.raises(RuntimeError, match="database"):
        await lifespan(through(gateway, host))
    assert gateway.diary == ["gateway up", "gateway down"]


async def test_a_gateway_that_does_not_start_stops_the_process_and_the_host_is_not_begun(
    lifespan: Lifespan, fake_gateway: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = fake_gateway(failing="startup")
    assert await lifespan(through(gateway, Host(gateway.diary))) == ["lifespan.startup.failed"]
    assert gateway.diary == ["gateway up", "gateway down"]
    assert "the gateway did not start" in caplog.text


async def test_a_gateway_that_does_not_stop_cleanly_is_logged_and_the_host_has_its_word(
    lifespan: Lifespan, fake_gateway: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = fake_gateway(failing="shutdown")
    with caplog.at_level(logging.ERROR, logger="llmgate"):
        assert await lifespan(through(gateway, Host(gateway.diary))) == COMPLETE
    assert "did not shut down cleanly" in caplog.text


async def test_a_server_that_is_killed_takes_the_gateway_down_too(fake_gateway: Any) -> None:
    gateway = fake_gateway()
    inbox: asyncio.Queue[Message] = asyncio.Queue()
    inbox.put_nowait({"type": "lifespan.startup"})
    started = asyncio.Event()

    async def send(message: Message) -> None:
        started.set()

    task = asyncio.ensure_future(through(gateway, Host(gateway.diary))({"type": "lifespan"}, inbox.get, send))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gateway.diary[-1] == "gateway down"
