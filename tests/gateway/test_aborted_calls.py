"""Clients that vanish, over real sockets: no task, socket or descriptor stays behind, and each call has its record."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from asgi_llmgate import Gateway, UsageRecord
from asgi_llmgate.testing.idp import MockIdP
from tests.helpers.server_processes import wait_for

IDP = MockIdP()
TOKEN = IDP.mint()
RESET = b"\1\0\0\0\0\0\0\0"
"""SO_LINGER: closing sends RST, and not FIN."""

_EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'


class Model:
    """A model server that never answers to the end.  `reached` counts the calls that wait for it."""

    def __init__(self) -> None:
        self.reached = threading.Semaphore(0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        if b"middle" in body:
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": _EVENT, "more_body": True})
        self.reached.release()
        while (await receive())["type"] != "http.disconnect":
            pass


class Kept(list[UsageRecord]):
    def emit(self, record: UsageRecord) -> None:
        self.append(record)


class Abandoned:
    """A gateway under uvicorn in this process, and calls to it of which none is waited for."""

    def __init__(self, serve: Callable[..., str]) -> None:
        self.records = Kept()
        self._model = Model()
        issuer = {"issuer": IDP.issuer, "audiences": [IDP.audience], "jwks": {"inline": IDP.jwks}}
        self._gateway = Gateway.from_settings(
            {
                "auth": {"providers": [issuer]},
                "policy": {"default": "allow"},
                "backends": {"main": {"base_url": serve(self._model) + "/v1"}},
                "models": [{"match": "*", "use": "main/gpt-4o-mini"}],
                "routes": {"/v1/chat/completions": "completions", "/v1/embeddings": {"passthrough": "main"}},
            },
            sinks=[self.records],
        )
        place = urlsplit(serve(self, http="httptools"))
        self._place = (place.hostname, place.port)
        self._count = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._loop = asyncio.get_running_loop()
        await self._gateway(scope, receive, send)

    def abandon(self, stage: str) -> None:
        self._count += 1
        path = ("/v1/messages", "/v1/chat/completions", "/v1/embeddings")[self._count % 3]
        reset = self._count % 2
        with socket.create_connection(self._place, timeout=30) as client:
            getattr(self, stage)(client, path)
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def _request(self, path: str, say: str, *, length: int | None = None, token: str = TOKEN) -> bytes:
        asked = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": say}]}
        body = json.dumps(asked).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {length or len(body)}\r\n\r\n".encode() + body

    # Where they leave.

    def head(self, client: socket.socket, path: str) -> None:
        client.sendall(self._request(path, "")[:100])

    def upload(self, client: socket.socket, path: str) -> None:
        client.sendall(self._request(path, "half", length=100_000))

    def waiting(self, client: socket.socket, path: str) -> None:
        client.sendall(self._request(path, "silent"))
        assert self._model.reached.acquire(timeout=30)

    def middle(self, client: socket.socket, path: str) -> None:
        client.sendall(self._request(path, "middle"))
        seen = b""
        while b"data: " not in seen:
            part = client.recv(4096)
            assert part, seen
            seen += part
        assert self._model.reached.acquire(timeout=30)

    def refusal(self, client: socket.socket, path: str) -> None:
        client.sendall(self._request(path, "no", length=100_000, token="no"))

    def refused(self, client: socket.socket, path: str) -> None:
        client.sendall(self._request(path, "no", token="no"))
        with suppress(OSError):
            client.recv(10)

    # What is left of them.

    def left(self) -> tuple[int, int]:
        """Descriptors of the process, and tasks of the server's loop."""
        tasks = asyncio.run_coroutine_threadsafe(_tasks(), self._loop).result(30)
        return len(os.listdir("/proc/self/fd")), tasks


async def _tasks() -> int:
    return len(asyncio.all_tasks())


STAGES = {  # and whether there is a call to record by then
    "head": False,
    "upload": True,
    "waiting": True,
    "middle": True,
    "refusal": True,
    "refused": True,
}


def check(serve: Callable[..., str], stage: str, count: int) -> None:
    abandoned = Abandoned(serve)
    for each in STAGES:  # what is kept for good, such as a pool, is there from now on
        for _ in range(6):
            abandoned.abandon(each)
    wait_for(lambda: len(abandoned.records) >= 30, "the records of the first calls")
    least = abandoned.left()
    for _ in range(20):
        least = min(least, abandoned.left())
    before = len(abandoned.records)
    for _ in range(count):
        abandoned.abandon(stage)
    recorded = count if STAGES[stage] else 0
    wait_for(lambda: len(abandoned.records) >= before + recorded, f"{recorded} records")

    def is_clean() -> bool:
        descriptors, tasks = abandoned.left()
        return descriptors <= least[0] + 2 and tasks <= least[1] + 2  # a keep-alive connection, and its task

    wait_for(is_clean, f"no more than {least} descriptors and tasks")
    assert len(abandoned.records) == before + recorded
    assert len({record.request_id for record in abandoned.records}) == before + recorded


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc here")
class TestNothingIsLeft:
    @pytest.mark.parametrize("stage", STAGES)
    def test_after_some(self, serve: Callable[..., str], stage: str) -> None:
        check(serve, stage, 40)

    @pytest.mark.soak
    @pytest.mark.parametrize("stage", STAGES)
    def test_after_two_thousand(self, serve: Callable[..., str], stage: str) -> None:
        check(serve, stage, 2000)
