"""What a streamed call costs: Python calls, and frames on the stack.

One stream of 105 events goes through a whole gateway made from settings (JWT, CEL policy, prices, access log), in
memory. A profile function counts the calls of the package's functions; a coroutine or generator that is resumed counts
again. Counted work says the same on any machine, however busy it is.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import httpx
import pytest

import asgi_llmgate
from asgi_llmgate import Gateway
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.testing.driver import http_scope
from asgi_llmgate.testing.idp import MockIdP
from benchmarks.counted import ELSEWHERE, count_all

MAX_CALLS = 988
"""Of a stream that arrives in one piece."""

MAX_CALLS_IN_CHUNKS = 4450
"""Of a stream whose events arrive one by one, through a transport of httpx: a task has to read each of them."""

MAX_CALLS_PER_CHUNK = 35
"""Further ones for each chunk that arrives by itself: reading it, waking the sending task, sending."""

MAX_CALLS_FOR_TEXT = 6
"""What verdicts add to a stream that calls no tool: it is known at once that there are none."""

MAX_CALLS_FOR_VERDICTS = 197
"""What they add to a stream with two tool calls, both decided by the last of three rules."""

MAX_CALLS_OF_DOCUMENTS = {"small call": 790, "172 kB call": 2340}
"""Of the package's functions, and of C from them, where the response is one document."""

ONCE = {
    "routing/routes.py find",
    "asgi/paths.py local_path",
    "asgi/body.py Body.__init__",
    "protocol/messages/request.py decode_messages",
    "protocol/translation/request/chat_request.py to_chat",
}
"""What a request needs more than one time, and computes one time."""

NEVER = {
    "rule_variables.py RuleVariables.__init__",
    "rule_variables.py normalize_claims",
    "cel/expression.py Expression.evaluate",
    "routing/table.py ModelTable.resolve",
}
"""What was computed for the first call with the token, and for the first with the name of the model."""

MAX_DEPTH = {"delta": 12, "sent": 12, "written": 14}
"""Frames of the package on the stack where a delta is written, where it is sent, and where any event is written: those
that begin and end blocks come once, and are further down."""

DELTAS = 100
EVENTS = DELTAS + 5
PACKAGE = str(Path(asgi_llmgate.__file__).parent) + "/"
TESTING = PACKAGE + "testing/"

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
USAGE = {"prompt_tokens": 1200, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 1000}}
COST = 0.0014
"""US dollars of the usage above: 1 for a million input tokens, 2 for a million output tokens."""


ASKS: dict[str, Any] = {
    "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
    "safeguards": [{"type": "dangerous_tool_use", "classifier_context": {"v": 1}}],
}
SAFEGUARDS: dict[str, Any] = {
    "rules": [
        {"name": "a", "outcome": "flag", "when": 'tool.name == "Bash" && tool.input.command.contains("prod")'},
        {"name": "b", "outcome": "flag", "when": 'tool.name == "WebFetch" && !tool.input.url.startsWith("https:")'},
        {"name": "c", "outcome": "pass", "when": 'tool.name == "Bash" && jwt.groups.exists(g, g == "llm")'},
    ]
}
COMMAND = json.dumps({"command": "git fetch --all", "description": "Look"})


def chunks(calls: int = 0) -> list[bytes]:
    """A stream of 100 words: 105 events of Anthropic's wire; and then maybe tool calls."""
    deltas: list[dict[str, Any]] = [{"role": "assistant"}, *({"content": f"word{number} "} for number in range(DELTAS))]
    for index in range(calls):
        function = {"name": "Bash", "arguments": COMMAND}
        deltas.append({"tool_calls": [{"index": index, "id": f"c{index}", "type": "function", "function": function}]})
    events = [{**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events.append({**HEAD, "choices": [], "usage": USAGE})
    return [b"data: %b\n\n" % json.dumps(event).encode() for event in events] + [b"data: [DONE]\n\n"]


class Stream(httpx.AsyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            for _ in range(3):  # until the gateway has sent what it made of the last one
                await asyncio.sleep(0)
            yield piece


class ModelServer(httpx.AsyncBaseTransport):
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream(self._pieces))


class Profile:
    """Counts calls of the package while it is on. `stacks` are the deepest ones of what writes and what sends."""

    def __init__(self) -> None:
        self.calls: Counter[CodeType] = Counter()
        self.stacks: dict[CodeType, list[str]] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call":
            return
        file = frame.f_code.co_filename
        if file.startswith(PACKAGE) and not file.startswith(TESTING):
            self.calls[frame.f_code] += 1
            if file.endswith("protocol/messages/events.py"):
                self.note(frame)

    def note(self, frame: FrameType | None) -> None:
        assert frame is not None
        code, stack = frame.f_code, []
        while frame is not None:
            if frame.f_code.co_filename.startswith(PACKAGE):
                stack.append(_name(frame.f_code))
            frame = frame.f_back
        self.stacks[code] = max(stack, self.stacks.get(code, []), key=len)

    def deepest(self) -> dict[str, list[str]]:
        """The deepest stacks by kind. What writes deltas is what is called for each of them."""
        written = {code: stack for code, stack in self.stacks.items() if code.co_filename.startswith(PACKAGE)}
        return {
            "delta": max((stack for code, stack in written.items() if self.calls[code] >= DELTAS), key=len),
            "written": max(written.values(), key=len),
            "sent": max((stack for code, stack in self.stacks.items() if code not in written), key=len),
        }

    @property
    def total(self) -> int:
        return self.calls.total()

    def largest(self) -> str:
        return "\n".join(f"{count:6} {_name(code)}" for code, count in self.calls.most_common(40))


def _name(code: CodeType) -> str:
    return f"{code.co_filename.removeprefix(PACKAGE)} {code.co_qualname}"


async def stream(
    pieces: list[bytes],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    asks: Mapping[str, Any] | None = None,
    events: int = EVENTS,
    **section: Any,
) -> Profile:
    """The second of two calls, counted. The first one fills caches: the token of the second is in the cache of tokens
    already, so its signature is not verified again. `asks` is what else the request has, `section` is one more section
    of the settings.
    """
    idp, client = MockIdP(), HTTPClient(transport=ModelServer(pieces))
    (folder / "keys.json").write_text(json.dumps(idp.jwks))
    monkeypatch.setattr("asgi_llmgate.config.build.make_client", lambda *_: client)
    settings = {
        "auth": {"providers": [{"issuer": idp.issuer, "audiences": ["llm-gateway"], "jwks": {"file": "keys.json"}}]},
        "policy": {"rules": ['"llm" in jwt.groups && llm.model.startsWith("gpt")']},
        "backends": {"main": {"base_url": "http://model.test/v1"}},
        "models": [{"match": "*", "use": "main/gpt-4o-mini", "prices": {"input": 1, "output": 2}}],
        "usage": {"access_log": {"file": "access.log"}},
        **section,
    }
    headers = {"authorization": f"Bearer {idp.mint(aud='llm-gateway', groups=['llm'])}"}
    asked = {"model": "claude-opus-5-5", "max_tokens": 500, "stream": True}
    body = json.dumps({**asked, **(asks or {}), "messages": [{"role": "user", "content": "hello"}]}).encode()
    profile = Profile()
    async with Gateway.from_settings(settings, folder=folder) as gateway:
        await _call(gateway, headers, body, None)
        received = await _call(gateway, headers, body, profile)
    assert received.count(b"event: ") == events
    records = [json.loads(line) for line in (folder / "access.log").read_text().splitlines()]
    assert [(record["outcome"], record["llmgate.cost_usd"]) for record in records] == [("ok", COST)] * 2
    return profile


async def _call(gateway: Gateway, headers: dict[str, str], body: bytes, profile: Profile | None) -> bytes:
    request = [{"type": "http.request", "body": body, "more_body": False}]
    received = bytearray()

    async def receive() -> Any:
        if not request:
            await asyncio.Event().wait()
        return request.pop()

    async def send(message: Any) -> None:
        received.extend(message.get("body", b""))
        if profile is not None:
            profile.note(sys._getframe())

    scope = http_scope("POST", "/v1/messages", headers=headers)
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        await gateway(scope, receive, send)
    finally:
        sys.setprofile(before)
    return bytes(received)


async def test_a_stream_costs_few_calls_and_few_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = await stream([b"".join(chunks())], tmp_path, monkeypatch)
    print(f"{profile.total} calls of a stream in one piece")
    assert profile.total < MAX_CALLS, f"{profile.total} calls; the largest:\n{profile.largest()}"
    counts = {_name(code): count for code, count in profile.calls.items()}
    assert {name: counts.get(name, 0) for name in ONCE} == dict.fromkeys(ONCE, 1)
    assert {name: counts.get(name, 0) for name in NEVER} == dict.fromkeys(NEVER, 0)
    for kind, stack in profile.deepest().items():
        assert 5 < len(stack) <= MAX_DEPTH[kind], f"{kind} at {len(stack)} frames:\n" + "\n".join(stack)


async def test_a_chunk_that_comes_by_itself_costs_few_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = await stream([b"".join(chunks())], tmp_path, monkeypatch)
    (tmp_path / "access.log").unlink()
    apart = await stream(chunks(), tmp_path, monkeypatch)
    print(f"{together.total} calls of a stream in one piece, {apart.total} of one in {len(chunks())} chunks")
    assert apart.total < MAX_CALLS_IN_CHUNKS, f"{apart.total} calls; the largest:\n{apart.largest()}"
    added = (apart.total - together.total) / (len(chunks()) - 1)
    assert added < MAX_CALLS_PER_CHUNK, f"{added:.1f} calls per chunk; of a stream:\n{apart.largest()}"


@pytest.mark.parametrize(("calls", "most"), [(0, MAX_CALLS_FOR_TEXT), (2, MAX_CALLS_FOR_VERDICTS)])
async def test_verdicts_cost_few_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int, most: int) -> None:
    pieces, events = [b"".join(chunks(calls))], EVENTS + 3 * calls
    without = await stream(pieces, tmp_path, monkeypatch, events=events, asks=ASKS)
    (tmp_path / "access.log").unlink()
    judged = await stream(pieces, tmp_path, monkeypatch, events=events, asks=ASKS, safeguards=SAFEGUARDS)
    added = judged.total - without.total
    print(f"{added} calls for the verdicts on {calls} tool calls")
    assert added > 20 * calls - 5, f"{added} more calls for {calls} verdicts: they were not decided"
    assert added < most, f"{added} more calls; the largest:\n{judged.largest()}"


async def test_a_document_costs_few_calls(tmp_path: Path) -> None:
    """As benchmarks/counted.py counts, which says for each folder how many: functions of C that it calls count too."""
    counts = await count_all(tmp_path)
    for name, most in MAX_CALLS_OF_DOCUMENTS.items():
        found = {folder: count for folder, count in counts[name].items() if folder != ELSEWHERE}
        print(f"{sum(found.values())} calls of a {name}")
        assert sum(found.values()) < most, f"{sum(found.values())} calls of a {name}: {found}"
