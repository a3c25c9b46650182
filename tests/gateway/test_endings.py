"""However a call ends, and whatever else happens while it does: one outcome, one record, and nothing left behind.

A clock of the test's own stands in for the loop's, so that nobody waits for a stall; an order of events with a few
turns of the loop between them is a case.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, ClassVar

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_llmgate import Backend, Draining, HTTPClient, ModelRow, ModelTable, TranslationApp, UsageMiddleware
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.route import Route
from asgi_llmgate.routing.routes import ROUTES
from asgi_llmgate.testing.driver import http_scope
from asgi_llmgate.usage import UsageRecord

ROUTES_HERE = {**ROUTES, "/v1/chat/completions": Route("completions"), "/v1/embeddings": Route("passthrough", "openai")}

_USAGE = b'"usage":{"prompt_tokens":3,"completion_tokens":2}'
_CHAT = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}],' + _USAGE + b"}\n\n"
_CHAT_END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],' + _USAGE + b"}\n\ndata: [DONE]\n\n"
_MESSAGE = (
    b'{"type":"message","id":"1","role":"assistant","model":"m","content":[],'
    b'"usage":{"input_tokens":3,"output_tokens":2}}'
)
_START = b'event: message_start\ndata: {"type":"message_start","message":' + _MESSAGE + b"}\n\n"
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":2}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


class Answer(httpx.AsyncByteStream):
    """A model server's answer, which the test gives: bytes, an error to raise, None for its end."""

    def __init__(self) -> None:
        self.parts: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.is_open = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (part := await self.parts.get()) is not None:
            if isinstance(part, Exception):
                raise part
            yield part
        self.is_open = False  # as transports give a connection back when they have read an answer to its end

    async def aclose(self) -> None:
        await asyncio.sleep(0)  # as a transport that waits for its socket
        self.is_open = False


class Upstream(httpx.AsyncBaseTransport):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._answer.is_open = True
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=self._answer)


class Scene:
    """One call, and all that may happen to it."""

    WIRES: ClassVar = {  # path, model: the first piece of an answer, another, its end
        "messages": ("/v1/messages", "m", _CHAT, _CHAT, _CHAT_END),
        "native": ("/v1/messages", "native", _START, _PING, _STOP),
        "completions": ("/v1/chat/completions", "m", _CHAT, _CHAT, _CHAT_END),
        "passthrough": ("/v1/embeddings", "m", _CHAT, _CHAT, _CHAT_END),
    }

    def __init__(self, wire: str, *, stream: bool = True) -> None:
        self.path, model, self.first, self.more, self.last = self.WIRES[wire]
        self._streams = stream
        self.records: list[UsageRecord] = []
        self.said: list[dict[str, Any]] = []
        self.answer = Answer()
        self.draining = Draining(after=0)
        self.cancelled = 0
        self.left: int | None = None
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._reads = asyncio.Event()
        self._reads.set()
        self._broken = False
        self._now = 1000.0
        self._begun = asyncio.Event()
        asked = {"model": model, "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
        self._inbox.put_nowait({"type": "http.request", "body": json.dumps(asked).encode(), "more_body": False})
        models = ModelTable(
            [ModelRow("native", ("native/m",)), ModelRow("m", ("openai/m",))], {"openai": "o", "native": "a"}
        )
        app = TranslationApp(
            {
                "openai": Backend(base_url="http://model.test/v1"),
                "native": Backend(base_url="http://model.test/v1", dialect=DIALECTS["anthropic"]),
            },
            models=models,
            routes=ROUTES_HERE,
            client=HTTPClient(transport=Upstream(self.answer)),
            draining=self.draining,
            ping_interval=1e6,
        )
        self.app = UsageMiddleware(app, sinks=[self])

    def emit(self, record: UsageRecord) -> None:
        self.records.append(record)

    async def _send(self, message: Any) -> None:
        await self._reads.wait()
        if self._broken:
            raise BrokenPipeError
        self.said.append(message)
        if message.get("body"):
            self._begun.set()

    async def _run(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await self.app(http_scope("POST", self.path), self._inbox.get, self._send)
        finally:
            self.left = task.cancelling()

    async def begin(self) -> None:
        loop = asyncio.get_running_loop()
        loop.time = lambda: self._now  # type: ignore[method-assign]
        self.complaints: list[Any] = []
        loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.task = asyncio.create_task(self._run())
        await self.turns(8)
        self.answer.parts.put_nowait(self.first)
        if self._streams:
            await self._begun.wait()
        await self.turns(8)

    async def turns(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    # What may happen.

    def ends(self) -> None:
        self.answer.parts.put_nowait(self.last)
        self.answer.parts.put_nowait(None)

    def breaks(self) -> None:
        self.answer.parts.put_nowait(httpx.ReadError("cut"))

    def leaves(self) -> None:
        self._inbox.put_nowait({"type": "http.disconnect"})

    def stalls(self) -> None:
        self._reads.clear()
        self.answer.parts.put_nowait(self.more)

    def resets(self) -> None:
        self._broken = True
        self.answer.parts.put_nowait(self.more)

    def drains(self) -> None:
        self.draining.begin()

    def cancels(self) -> None:
        if self.task.cancel():
            self.cancelled += 1

    def cancels_twice(self) -> None:
        self.cancels()
        self.cancels()

    def time_passes(self) -> None:
        self._now += 61

    async def over(self) -> None:
        """Let time pass until the call is over; it must not need anything else."""
        for _ in range(12):
            await self.turns(10)
            if self.task.done():
                break
            self.time_passes()
        assert self.task.done(), "the call does not end"
        await self.turns(5)


OUTCOMES = {
    "ends": "ok",
    "breaks": "upstream_truncated",
    "leaves": "client_disconnect",
    "stalls": "client_disconnect",
    "resets": "client_disconnect",
    "drains": "shutdown",
    "cancels": "shutdown",
    "cancels_twice": "shutdown",
}
Happening = tuple[str, int]
"""What happens, and how many turns of the loop later the next thing does."""


async def check(wire: str, happenings: Sequence[Happening]) -> Scene:
    scene = Scene(wire)
    await scene.begin()
    for name, turns in happenings:
        getattr(scene, name)()
        await scene.turns(turns)
    await scene.over()
    names = [name for name, _ in happenings]
    where = f"{wire}: {happenings}"
    (record,) = scene.records
    assert record.outcome in {OUTCOMES[name] for name in names if name in OUTCOMES}, where
    assert record.input_tokens == 3, where
    assert scene.left in (0, scene.cancelled), where
    assert scene.complaints == [], where
    assert not scene.answer.is_open, where
    assert asyncio.all_tasks() == {asyncio.current_task()}, where
    failed = None if scene.task.cancelled() else scene.task.exception()
    assert failed is None or wire == "passthrough", where  # which cuts off what it cannot end
    ends = [message for message in scene.said if not message.get("more_body", True) or "more_body" not in message]
    assert len([message for message in ends if message["type"] == "http.response.body"]) <= 1, where
    return scene


def play(wire: str, cases: Iterable[Sequence[Happening]]) -> list[str]:
    """The outcome of each case, in a loop of its own."""
    return [asyncio.run(check(wire, case)).records[0].outcome for case in cases]


@pytest.mark.parametrize("wire", Scene.WIRES)
def test_each_ending_by_itself(wire: str) -> None:
    found = play(wire, [[(name, 0)] for name in OUTCOMES])
    assert dict(zip(OUTCOMES, found, strict=True)) == OUTCOMES


@pytest.mark.parametrize("wire", Scene.WIRES)
def test_what_comes_first_decides_whatever_comes_after_it(wire: str) -> None:
    """Where there is time for the first to be heard; a reader that has stopped is known only when time has passed."""
    for first, second in itertools.permutations(OUTCOMES, 2):
        before: list[Happening] = [(first, 3), ("time_passes", 30)] if first == "stalls" else [(first, 30)]
        assert play(wire, [[*before, (second, 3)]]) == [OUTCOMES[first]], (first, second)


@pytest.mark.parametrize("wire", Scene.WIRES)
@pytest.mark.parametrize("turns", [0, 1, 3])
def test_two_at_once(wire: str, turns: int) -> None:
    play(wire, [[(first, turns), (second, 0)] for first, second in itertools.product(OUTCOMES, repeat=2)])


def test_the_client_and_the_server_at_once() -> None:
    """Who runs the task is heard before who reads the answer."""
    cases: list[list[Happening]] = [[("cancels", 0), ("leaves", 0)], [("cancels_twice", 0), ("drains", 0)]]
    assert play("messages", cases) == ["shutdown", "shutdown"]


@settings(max_examples=60, deadline=None)
@given(
    wire=st.sampled_from(sorted(Scene.WIRES)),
    happenings=st.lists(
        st.tuples(st.sampled_from([*OUTCOMES, "time_passes"]), st.integers(0, 6)), min_size=1, max_size=5
    ).filter(lambda happenings: any(name in OUTCOMES for name, _ in happenings)),
)
def test_any_order(wire: str, happenings: list[Happening]) -> None:
    play(wire, [happenings])


@pytest.mark.parametrize("ending", ["breaks", "leaves", "drains", "cancels"])
def test_what_was_used_is_recorded_also_of_an_answer_of_which_the_client_has_seen_nothing(ending: str) -> None:
    """The client wants a whole answer, and the server streams it."""

    async def scene() -> UsageRecord:
        scene = Scene("messages", stream=False)
        await scene.begin()
        getattr(scene, ending)()
        await scene.over()
        (record,) = scene.records
        return record

    record = asyncio.run(scene())
    assert record.outcome == {**OUTCOMES, "breaks": "upstream_error"}[ending]
    assert (record.input_tokens, record.output_tokens) == (3, 2)
