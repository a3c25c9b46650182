"""Uploads at a whole gateway: who is denied holds nothing, the others no more than they may, and all of it ends."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import Any

import pytest

from asgi_llmgate import Gateway, UsageRecord
from asgi_llmgate.asgi import Uploads
from asgi_llmgate.testing.driver import Driver, call
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.testing.model_server import ModelServer

IDP = MockIdP()
BODY = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}
CHAT = "/v1/chat/completions"
CALLERS, HALF, WHOLE = 30, 100_000, 200_000
MEMORY = 3 * WHOLE


class Kept(list[UsageRecord]):
    """A sink."""

    def emit(self, record: UsageRecord) -> None:
        self.append(record)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What uploads held after each change."""
    counts: list[int] = []

    def take(self: Uploads, size: int) -> bool:
        taken = real(self, size)
        counts.append(self.held)
        return taken

    real = Uploads.take
    monkeypatch.setattr(Uploads, "take", take)
    return counts


@pytest.fixture
async def make(serve: Callable[..., str]) -> AsyncIterator[Callable[..., tuple[Gateway, Kept]]]:
    gateways: list[Gateway] = []

    def made(rules: list[Any], **server: Any) -> tuple[Gateway, Kept]:
        records = Kept()
        settings = {
            "auth": {"providers": [{"issuer": IDP.issuer, "audiences": [IDP.audience], "jwks": {"inline": IDP.jwks}}]},
            "policy": {"rules": rules},
            "backends": {"house": {"base_url": serve(ModelServer([say("Hi.").always()])) + "/v1"}},
            "models": [{"match": "m", "use": "house"}],
            "routes": {CHAT: "completions"},
            "server": {"body_limit": WHOLE, "body_memory": MEMORY, **server},
        }
        gateways.append(Gateway.from_settings(settings, sinks=[records]))
        return gateways[-1], records

    yield made
    for gateway in gateways:
        await gateway.shutdown()


def head(team: str, more: str = f"content-length: {WHOLE}") -> bytes:
    token = IDP.mint(team=team)
    return f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{more}\r\n\r\n".encode()


def half_sent(url: str, team: str) -> list[bytes]:
    """What callers are answered who send half of a body and then wait until the connection is closed."""
    host, _, port = url.removeprefix("http://").partition(":")
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection((host, int(port)), 30)) for _ in range(CALLERS)]
        for client in clients:
            client.sendall(head(team) + b"x" * HALF)
        return [b"".join(iter(lambda client=client: client.recv(65536), b"")) for client in clients]


def statuses(answers: list[bytes]) -> list[int]:
    assert [answer.count(b"HTTP/1.1 ") for answer in answers] == [1] * CALLERS
    return [int(answer.split(b" ", 2)[1]) for answer in answers]


RULES = [
    pytest.param(["jwt.team == 'data-platform'"], id="a rule on the caller"),
    pytest.param(["jwt.team == 'data-platform' && llm.model == 'm'"], id="a rule on caller and model"),
]


@pytest.mark.parametrize("rules", RULES)
async def test_half_sent_bodies_of_who_is_denied_hold_no_memory(
    make: Any, serve: Callable[..., str], held: list[int], rules: list[str]
) -> None:
    gateway, records = make(rules)
    answers = await asyncio.to_thread(half_sent, serve(gateway), "marketing")
    assert statuses(answers) == [403] * CALLERS
    assert set(held) <= {0}
    assert [(record.status, record.reason, record.client_model) for record in records] == (
        [(403, "Authorization", "")] * CALLERS
    )


async def test_half_sent_bodies_hold_no_more_than_they_may_and_let_go(
    make: Any, serve: Callable[..., str], held: list[int]
) -> None:
    gateway, records = make(["true"], body_timeout=1)
    answers = await asyncio.to_thread(half_sent, serve(gateway), "data-platform")
    found = statuses(answers)
    assert (
        {408} <= set(found) <= {408, 503}
    )  # on a machine that stands still the first may be over before the last come
    assert HALF < max(held) <= MEMORY
    assert held[-1] == 0
    assert sorted(record.status for record in records) == sorted(found)
    assert {(record.reason, record.client_model) for record in records} == {("Upload", "")}
    for status, answer in zip(found, answers, strict=True):
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"connection: close" in head.lower()
        assert (b"retry-after: 5" in head.lower()) == (status == 503)
        assert json.loads(body)["error"]["type"] == ("timeout_error" if status == 408 else "api_error")


async def test_the_rest_of_a_body_that_was_too_slow_is_not_read_as_a_request(
    make: Any, serve: Callable[..., str]
) -> None:
    gateway, records = make(["true"], body_timeout=0.2)
    host, _, port = serve(gateway).removeprefix("http://").partition(":")

    def answered() -> bytes:
        with socket.create_connection((host, int(port)), 30) as client:
            client.sendall(head("data-platform") + b"{")
            first = client.recv(65536)
            try:
                client.sendall(head("data-platform", "content-length: 2") + b"{}")
                return first + b"".join(iter(lambda: client.recv(65536), b""))
            except ConnectionError:
                return first

    answer = await asyncio.to_thread(answered)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert [record.status for record in records] == [408]


def in_bytes(client: Driver) -> None:
    for byte in json.dumps(BODY).encode():
        client.upload(bytes([byte]), more=True)
    client.upload(b"")


ENDINGS: dict[str, tuple[Any, int]] = {
    "answered": (lambda client: client.upload(json.dumps(BODY).encode()), 200),
    "answered, in bytes": (in_bytes, 200),
    "no JSON": (lambda client: client.upload(b"{"), 400),
    "no such model": (lambda client: client.upload(json.dumps({**BODY, "model": "x"}).encode()), 404),
    "too large": (lambda client: client.upload(bytes(WHOLE + 1)), 413),
    "nothing for a while": (lambda client: client.upload(b"{", more=True), 408),
    "left in the middle": (lambda client: (client.upload(b"{", more=True), client.disconnect()), 499),
    "cancelled in the middle": (lambda client: client.upload(b"{", more=True), 503),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", CHAT])
async def test_each_ending_of_an_upload_gives_back_what_it_held_and_has_one_record(
    make: Any, held: list[int], ending: str, path: str
) -> None:
    act, status = ENDINGS[ending]
    gateway, records = make(["true"], body_timeout=0.05 if status == 408 else 30)
    headers = {"authorization": f"Bearer {IDP.mint()}"}
    async with Driver(gateway, "POST", path, content=None, headers=headers) as client:
        act(client)
        if ending == "cancelled in the middle":
            while not held:
                await asyncio.sleep(0)
            await client.cancel()
        elif status == 499:
            await client.finish()
        else:
            assert await client.start() == status
            reply = (await client.read()).json()
            await client.finish()
            assert status == 200 or set(reply) == ({"error"} if path == CHAT else {"type", "error", "request_id"})
    assert held[-1:] in ([], [0])  # a body that ends before its first piece is kept never holds anything
    assert [record.status for record in records] == [status]


async def test_who_finds_no_room_comes_again_and_finds_it(make: Any, held: list[int]) -> None:
    gateway, records = make(["true"], body_timeout=30)
    headers = {"authorization": f"Bearer {IDP.mint()}"}
    large = json.dumps({**BODY, "messages": [{"role": "user", "content": "x" * (WHOLE - 1000)}]}).encode()

    async def until(size: int) -> None:
        async with asyncio.timeout(30):
            while not held or held[-1] < size:
                await asyncio.sleep(0)

    first = Driver(gateway, "POST", "/v1/messages", content=None, headers=headers)
    second = Driver(gateway, "POST", "/v1/messages", content=None, headers=headers)
    async with first, second:
        for count, client in enumerate((first, second), 1):
            client.upload(large[:-1], more=True)
            await until(count * (len(large) - 1))
        refused = await call(gateway, "POST", "/v1/messages", content=large, headers=headers)
        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        first.disconnect()
        await first.finish()
        assert (await call(gateway, "POST", "/v1/messages", content=large, headers=headers)).status == 200
        second.disconnect()
        await second.finish()
    assert held[-1] == 0
    assert [record.status for record in records] == [503, 499, 200, 499]


async def test_room_is_found_again_as_soon_as_a_call_has_ended(make: Any, held: list[int]) -> None:
    gateway, records = make(["true"], body_timeout=30)
    headers = {"authorization": f"Bearer {IDP.mint()}"}
    large = {**BODY, "messages": [{"role": "user", "content": "x" * (WHOLE - 1000)}]}
    for _ in range(10):
        assert (await call(gateway, "POST", "/v1/messages", json=large, headers=headers)).status == 200
    assert max(held) > WHOLE - 1000
    assert [record.status for record in records] == [200] * 10
