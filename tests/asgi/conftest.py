"""The server's side of the lifespan protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from asgi_llmgate._types import ASGIApp, Message


@pytest.fixture
def lifespan() -> Callable[[ASGIApp], Awaitable[list[str]]]:
    """`await lifespan(app)`: start and stop an app as uvicorn does; gives the types of what the app said."""

    async def run(app: ASGIApp) -> list[str]:
        said: list[str] = []
        inbox: asyncio.Queue[Message] = asyncio.Queue()
        answered = asyncio.Event()

        async def send(message: Message) -> None:
            said.append(message["type"])
            answered.set()

        async def converse() -> None:
            try:
                await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, inbox.get, send)
            finally:
                answered.set()

        inbox.put_nowait({"type": "lifespan.startup"})
        async with asyncio.timeout(5):
            task = asyncio.create_task(converse())
            await answered.wait()
            if said == ["lifespan.startup.complete"]:
                inbox.put_nowait({"type": "lifespan.shutdown"})
            await task
        return said

    return run


class FakeGateway:
    """Keeps a diary of its start and stop, and answers with the path and root path it sees."""

    def __init__(self, *, failing: str = "") -> None:
        self.diary: list[str] = []
        self._failing = failing

    async def startup(self) -> None:
        self.diary.append("gateway up")
        if self._failing == "startup":
            raise OSError("no keys")

    async def shutdown(self) -> None:
        self.diary.append("gateway down")
        if self._failing == "shutdown":
            raise OSError("still busy")

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        assert isinstance(scope, dict)
        assert callable(send)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": f"gateway {scope['root_path']} {scope['path']}".encode()})


@pytest.fixture
def fake_gateway() -> type[FakeGateway]:
    return FakeGateway
