"""What a request has made goes with it, by reference counts alone.

A cycle keeps a body of megabytes until the garbage collector comes by, which under load is when memory is short
already.  So each route and each ending is run with the collector off: afterwards nothing of ours is left, and the
collector, which is then asked, finds no cycle that one of our objects or frames belongs to.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from types import FrameType, FunctionType
from typing import Any

import httpx
import pytest

from asgi_llmgate import (
    Backend,
    Draining,
    Gateway,
    HTTPClient,
    JWTAuthMiddleware,
    Limit,
    LimitMiddleware,
    ModelRow,
    ModelTable,
    PolicyMiddleware,
    ResolveMiddleware,
)
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.route import Route
from asgi_llmgate.routing.routes import ROUTES
from asgi_llmgate.testing.driver import http_scope
from asgi_llmgate.testing.idp import MockIdP

IDP = MockIdP()
TOKENS = {team: IDP.mint(team=team) for team in ("inside", "outside", "busy")}
ROUTES_HERE = {**ROUTES, "/v1/chat/completions": Route("completions"), "/v1/embeddings": Route("passthrough", "openai")}

_DELTA = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'
_WHOLE = b'{"id":"1","model":"m","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'
_STREAM = _DELTA + b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

_NATIVE = (
    b'{"type":"message","id":"1","role":"assistant","model":"m","content":[],"stop_reason":"end_turn",'
    b'"usage":{"input_tokens":1,"output_tokens":1}}'
)
_NATIVE_DELTA = b'event: message_start\ndata: {"type":"message_start","message":' + _NATIVE + b"}\n\n"
_NATIVE_STREAM = _NATIVE_DELTA + b"".join(
    b"event: %b\ndata: %b\n\n" % (name, data)
    for name, data in (
        (b"message_delta", b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}'),
        (b"message_stop", b'{"type":"message_stop"}'),
    )
)

JSON, SSE = {"content-type": "application/json"}, {"content-type": "text/event-stream"}


class Source(httpx.AsyncByteStream):
    """A model server's answer: its parts; an exception among them is raised, None waits for ever."""

    def __init__(self, *parts: bytes | Exception | None) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            if part is None:
                await asyncio.Event().wait()
            elif isinstance(part, Exception):
                raise type(part)(*part.args)
            else:
                yield part

    async def aclose(self) -> None:
        pass


class Server(httpx.AsyncBaseTransport):
    """Answers by what the request's body asks for."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = b"".join([part async for part in request.stream])  # type: ignore[union-attr]
        streams = b'"stream":true' in body
        head = SSE if streams else JSON
        native = request.url.path.endswith("/messages")
        first = (_NATIVE_DELTA if native else _DELTA) if streams else b"{"
        if b"crash" in body:
            raise RuntimeError("a defect of a transport")
        if b"refuse" in body:
            return httpx.Response(500, headers=JSON, stream=Source(b'{"error":{"message":"no"}}'))
        if b"unreachable" in body:
            raise httpx.ConnectError("no")
        if b"break" in body:
            return httpx.Response(200, headers=head, stream=Source(first, httpx.ReadError("cut")))
        if b"hang" in body:
            return httpx.Response(200, headers=head, stream=Source(first, None))
        if b"silent" in body:
            return httpx.Response(200, headers=head, stream=Source(None))
        whole = (_NATIVE, _NATIVE_STREAM) if native else (_WHOLE, _STREAM)
        return httpx.Response(200, headers=head, stream=Source(whole[streams]))


class Forgets:
    """A sink."""

    outcome = ""

    def emit(self, record: Any) -> None:
        self.outcome = record.outcome


class Caller:
    """One request, made without a testing tool that would keep something of it."""

    def __init__(self, gateway: Gateway, sink: Forgets, draining: Draining) -> None:
        self.gateway = gateway
        self.sink = sink
        self.draining = draining

    async def ask(self, path: str, body: bytes, ending: str, *, method: str = "POST", team: str = "inside") -> int:
        headers = {"authorization": f"Bearer {TOKENS[team]}"} if team else {}
        scope = http_scope(method, path, headers=headers)
        inbox: asyncio.Queue[Any] = asyncio.Queue()
        status: list[int] = []
        begun = asyncio.Event()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])
            elif message["body"]:
                begun.set()
                if ending == "reset":
                    raise BrokenPipeError

        inbox.put_nowait({"type": "http.request", "body": body, "more_body": False})
        task = asyncio.create_task(self.gateway(scope, inbox.get, send))
        if ending in ("leaves", "cancel", "drain"):
            if b"silent" in body or (b'"stream":true' not in body and b"hang" in body):
                for _ in range(50):
                    await asyncio.sleep(0)
            else:
                await begun.wait()
            if ending == "leaves":
                inbox.put_nowait({"type": "http.disconnect"})
            elif ending == "cancel":
                task.cancel()
            else:
                await self.draining.finish()
        await asyncio.wait((task,))  # raised from here, the error's traceback would hold this frame, and it the task
        if not task.cancelled():
            task.exception()
        return status[0] if status else 0


@pytest.fixture
async def caller() -> Caller:
    models = ModelTable(
        [ModelRow("native*", ("native/m",)), ModelRow("m*", ("openai/m",))], {"openai": "o", "native": "a"}
    )
    client, sink, draining = HTTPClient(transport=Server()), Forgets(), Draining()
    return Caller(
        Gateway(
            backends={
                "openai": Backend(base_url="http://model.test/v1"),
                "native": Backend(base_url="http://model.test/v1", dialect=DIALECTS["anthropic"]),
            },
            models=models,
            routes=ROUTES_HERE,
            client=client,
            resolve=partial(ResolveMiddleware, body_limit=100_000),
            auth=partial(JWTAuthMiddleware, providers=[IDP.provider()]),
            policy=partial(PolicyMiddleware, rules=['jwt.team != "outside"']),
            limits=partial(
                LimitMiddleware, limits=[Limit("none", "jwt.team", requests="1/hour", when='jwt.team == "busy"')]
            ),
            sinks=[sink],
            draining=draining,
        ),
        sink,
        draining,
    )


def messages(say: str, *, stream: bool = False, model: str = "m") -> bytes:
    asked = [{"role": "user", "content": say + " " + "x" * 20_000}]
    body = {"model": model, "max_tokens": 9, "stream": stream, "messages": asked}
    return json.dumps(body, separators=(",", ":")).encode()


MESSAGES, COMPLETIONS, PASSTHROUGH, COUNT = (
    "/v1/messages",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/messages/count_tokens",
)


def cases() -> Iterator[Any]:
    def case(name: str, path: str, body: bytes, ending: str = "", outcome: str = "", **options: Any) -> Any:
        return pytest.param(path, body, ending, outcome, options, id=name)

    for path, model in ((MESSAGES, "m"), (MESSAGES, "native"), (COMPLETIONS, "m"), (PASSTHROUGH, "m")):
        for stream in (False, True):
            name = f"{path.split('/')[-1]} {model} {'stream' if stream else 'json'}"
            ask = partial(messages, stream=stream, model=model)
            yield case(f"{name} ok", path, ask("hello"), outcome="ok")
            for say in ("crash", "refuse", "unreachable", "break"):
                yield case(f"{name} {say}", path, ask(say))
            for say in ("hang", "silent"):
                yield case(f"{name} {say}, the client leaves", path, ask(say), "leaves", "client_disconnect")
                yield case(f"{name} {say}, the server cancels", path, ask(say), "cancel", "shutdown")
                yield case(f"{name} {say}, the time is over", path, ask(say), "drain", "shutdown")
            yield case(f"{name} reset", path, ask("hello"), "reset")
    for path in (MESSAGES, COMPLETIONS, PASSTHROUGH, COUNT):
        name = path.split("/")[-1]
        yield case(f"{name} 401", path, messages("hello"), outcome="refused", team="")
        yield case(f"{name} 403", path, messages("hello"), outcome="refused", team="outside")
        yield case(f"{name} 429", path, messages("hello"), outcome="refused", team="busy")
        yield case(f"{name} 400", path, b'{"model":' + b" " * 20_000, outcome="refused")
        yield case(f"{name} 413", path, b"[" * 100_001, outcome="refused")
        if path != PASSTHROUGH:
            yield case(f"{name} 405", path, b"", outcome="refused", method="PURGE")
    yield case("no such model", MESSAGES, messages("hello", model="zzz"), outcome="refused")
    yield case("no such path", "/v1/zzz", messages("hello"), outcome="refused")
    yield case("count_tokens", COUNT, messages("hello"), outcome="ok")
    yield case("models", "/v1/models", b"", outcome="ok", method="GET")
    yield case("health", "/healthz", b"", method="GET")


def _name(found: object) -> str:
    if isinstance(found, FrameType):
        module, name = found.f_globals.get("__name__", ""), found.f_code.co_qualname
    elif isinstance(found, FunctionType):
        module, name = found.__module__, found.__qualname__
    elif asyncio.iscoroutine(found):
        return f"coroutine {found.__qualname__}"
    else:
        module, name = type(found).__module__, type(found).__qualname__
    return f"{module}.{name}"


def ours() -> Counter[str]:
    kinds = Counter(type(each) for each in gc.get_objects())
    named = {f"{kind.__module__}.{kind.__qualname__}": count for kind, count in kinds.items()}
    return Counter({name: count for name, count in named.items() if name.startswith("asgi_llmgate")})


async def left_behind(ask: Callable[[], Awaitable[Any]], body: bytes) -> list[str]:
    """What of ours is there after one more request: objects that are still used, and cycles that only the collector
    finds."""
    for _ in range(2):  # what is kept for good is made by the first
        await ask()
    await asyncio.sleep(0)
    gc.freeze()  # so that what was there before is neither counted nor searched
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        references = sys.getrefcount(body)
        await ask()
        await asyncio.sleep(0)
        kept = [*ours().elements(), *["the body"] * (sys.getrefcount(body) - references)]
        gc.collect()
        return kept + [f"cycle: {name}" for name in map(_name, gc.garbage) if name]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        gc.enable()


@pytest.mark.parametrize(("path", "body", "ending", "outcome", "options"), list(cases()))
async def test_nothing_waits_for_the_collector(
    caller: Caller, path: str, body: bytes, ending: str, outcome: str, options: Any
) -> None:
    left = await left_behind(lambda: caller.ask(path, body, ending, **options), body)
    assert left == []
    if outcome:
        assert caller.sink.outcome == outcome
