"""A large body is decoded beside the event loop; the targets of a name are found once."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from asgi_llmgate import Exchange, Gateway, ModelRow, ModelTable
from asgi_llmgate.asgi import Body
from asgi_llmgate.errors import NotFound
from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.route import Route
from asgi_llmgate.routing import resolve
from asgi_llmgate.routing.routes import ROUTES
from asgi_llmgate.testing.driver import call, http_scope

ROOM = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"'


def body(size: int, end: bytes = b'"}]}') -> bytes:
    return ROOM + b"x" * (size - len(ROOM) - len(end)) + end


@pytest.fixture
def gateway() -> Gateway:
    return Gateway.from_settings(
        {
            "auth": {"mode": "off"},
            "policy": {"rules": ['llm.model == "another"']},
            "backends": {"o": {"base_url": "http://127.0.0.1:9/v1"}},
            "models": [{"match": "*", "use": "o/m"}],
        }
    )


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    def put(decode: Callable[..., Any]) -> None:
        monkeypatch.setattr(resolve, "_DECODERS", {"messages": decode})

    return put


async def test_the_loop_has_its_turn_while_a_large_body_is_decoded(gateway: Gateway, decoders: Any) -> None:
    begun, turn = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def decode(raw: bytes, **options: Any) -> Any:
        loop.call_soon_threadsafe(begun.set)
        assert turn.wait(10), "the loop did not run"
        return decode_messages(raw, **options)

    decoders(decode)
    asking = asyncio.create_task(call(gateway, "POST", "/v1/messages", content=body(resolve.LARGE)))
    await begun.wait()
    turn.set()
    assert (await asking).status == 403


@pytest.mark.parametrize(("size", "beside"), [(resolve.LARGE - 1, False), (resolve.LARGE, True)])
async def test_from_a_megabyte_on(size: int, beside: bool, gateway: Gateway, decoders: Any) -> None:
    threads = []

    def decode(raw: bytes, **options: Any) -> Any:
        threads.append(threading.current_thread())
        return decode_messages(raw, **options)

    decoders(decode)
    assert (await call(gateway, "POST", "/v1/messages", content=body(size))).status == 403
    assert [thread is not threading.main_thread() for thread in threads] == [beside]


async def test_what_is_wrong_with_it_is_told_as_ever(gateway: Gateway) -> None:
    reply = await call(gateway, "POST", "/v1/messages", content=body(resolve.LARGE, b'"}}'))
    assert reply.status == 400
    assert "not valid JSON" in reply.json()["error"]["message"]


async def test_several_are_decoded_one_after_the_other(gateway: Gateway, decoders: Any) -> None:
    at_once, most = 0, 0

    def decode(raw: bytes, **options: Any) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        found = decode_messages(raw, **options)
        at_once -= 1
        return found

    decoders(decode)
    asking = (call(gateway, "POST", "/v1/messages", content=body(resolve.LARGE)) for _ in range(8))
    assert {reply.status for reply in await asyncio.gather(*asking)} == {403}
    assert most == 1


def test_a_forked_process_has_a_thread_of_its_own(gateway: Gateway) -> None:
    """gunicorn may fork its workers after the app has been loaded, and used."""
    large = body(resolve.LARGE)
    assert asyncio.run(call(gateway, "POST", "/v1/messages", content=large)).status == 403
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: of threads that are not the child's
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if asyncio.run(call(gateway, "POST", "/v1/messages", content=large)).status == 403 else 1
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended) == 0


async def ask(resolver: resolve.Resolver, name: str, path: str = "/v1/messages") -> tuple[Target, ...]:
    scope, exchange = Exchange.enter(http_scope("POST", path))
    asked = {"model": name, "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
    messages = [{"type": "http.request", "body": json.dumps(asked).encode()}]

    async def receive() -> Any:
        return messages.pop()

    await resolver.resolve(scope, Body(receive, limit=10_000, headers={}))
    assert exchange.call is not None
    return exchange.call.candidates


def table(**row: Any) -> ModelTable:
    return ModelTable([ModelRow("*", ("a", "b/fixed"), **row)], {"a": "openai", "b": "vllm"})


async def test_the_targets_of_a_name_are_found_once() -> None:
    resolver = resolve.Resolver(table(), routes={**ROUTES, "/v1/embeddings": Route("passthrough", "b")})
    first, other, there = await ask(resolver, "x"), await ask(resolver, "y"), await ask(resolver, "x", "/v1/embeddings")
    assert [target.model for target in (*first, *other, *there)] == ["x", "fixed", "y", "fixed", "fixed"]
    assert await ask(resolver, "x") is first
    assert await ask(resolver, "x", "/v1/embeddings") is there


async def test_names_that_callers_make_up_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "MAX_NAMES", 5)
    resolver = resolve.Resolver(table())
    names = [f"name {number}" for number in range(23)]
    found = [await ask(resolver, name) for name in names]
    assert [targets[0].model for targets in found] == names
    kept = [await ask(resolver, name) is targets for name, targets in zip(names[::-1], found[::-1], strict=True)]
    assert 0 < sum(kept) <= 5


async def test_where_a_row_has_a_condition_each_call_is_looked_up() -> None:
    open_now = {"open": True}
    resolver = resolve.Resolver(table(when=lambda variables: open_now["open"]))
    assert len(await ask(resolver, "x")) == 2
    open_now["open"] = False
    with pytest.raises(NotFound):
        await ask(resolver, "x")
