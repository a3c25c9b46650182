"""Whatever body is let through: each server reads the model, the stream flag, the limits and the tools that the rules
decided on.

The gateway is real, and its model server keeps the bytes that it got; readers of several kinds (readers.py) read those.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, note, settings

from asgi_llmgate import Gateway
from asgi_llmgate.config.build import make_parts
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.running_state import RunningState
from asgi_llmgate.testing.driver import call
from asgi_llmgate.testing.serving import serving
from tests.security.ambiguous_bodies import bodies
from tests.security.body_readers import PYTHON_READERS, Reader, go, javascript

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
WAYS = {
    "completions": (CHAT, "openai", {CHAT: "completions"}),
    "passthrough": (RESPONSES, "openai", {RESPONSES: {"passthrough": "house"}}),
    "native": (MESSAGES, "anthropic", {}),
}


class Got:
    """A model server that keeps the last body, and refuses it: no answer is needed here."""

    body = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        self.body = b"".join(parts)
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


class Decision(NamedTuple):
    """What the rules have seen, and the model that is sent."""

    model: str
    stream: bool
    max_tokens: int
    tool_names: frozenset[str]


class Decided:
    """In the place of the limits: what the rules before it decided on."""

    decision: Decision | None = None

    def __init__(self) -> None:
        self.app: Any = None

    def around(self, app: Any) -> Any:
        self.app = app
        return self

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        found = Exchange.of(scope).call
        if found is not None:
            request = found.request
            model, names = found.candidates[0].model, frozenset(request.tool_names)
            self.decision = Decision(model, request.stream, request.max_tokens, names)
        await self.app(scope, receive, send)


class Gate(NamedTuple):
    app: Gateway
    path: str
    got: Got
    decided: Decided

    async def ask(self, body: bytes) -> tuple[Decision, bytes] | None:
        """What was decided on and what was sent; None where nothing was."""
        self.got.body, self.decided.decision = b"", None
        await call(self.app, "POST", self.path, content=body, headers={"content-type": "application/json"})
        return (self.decided.decision, self.got.body) if self.got.body and self.decided.decision else None


@pytest.fixture(scope="module")
def got() -> Iterator[tuple[Got, str]]:
    server = Got()
    with serving(server) as url:
        yield server, url


@pytest.fixture(params=WAYS)
async def gate(request: pytest.FixtureRequest, got: tuple[Got, str]) -> AsyncIterator[Gate]:
    path, dialect, routes = WAYS[request.param]
    server, url = got
    decided = Decided()
    described = {
        "auth": {"mode": "off"},
        "policy": {"default": "allow"},
        "backends": {"house": {"dialect": dialect, "base_url": f"{url}/v1"}},
        "models": [{"match": "*", "use": "house"}],
        "routes": routes,
    }
    parts: dict[str, Any] = dict(make_parts(described, Path(), RunningState(), Mistakes(), variables={}))
    async with Gateway(**{**parts, "limits": decided.around}) as app:
        yield Gate(app, path, server, decided)


async def compared(gate: Gate, readers: dict[str, Reader], body: bytes) -> None:
    outcome = await gate.ask(body)
    if outcome is None:
        return
    decided, sent = outcome
    note(f"sent: {sent!r}")
    for name, reader in readers.items():
        read = reader(sent)
        if read is None:
            continue
        assert read.model == decided.model, name
        assert read.stream == decided.stream, name
        if gate.path == MESSAGES:  # whose servers know one limit, and a tool by its own name alone
            limits, names = [read.limits.get("max_tokens", 0)], {name or kind for _, name, kind in read.tools}
        else:
            limits = list(read.limits.values())
            names = {function or name or kind for function, name, kind in read.tools} | read.functions
        assert all(limit <= decided.max_tokens for limit in limits), name
        assert names - {"", None} <= decided.tool_names, name


QUICK = settings(
    max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


async def test_honest_bodies_are_let_through(gate: Gate) -> None:
    """So that what follows compares something."""
    body = b'{"model":"small","max_tokens":5,"stream":true,"messages":[{"role":"user","content":"hello"}]}'
    outcome = await gate.ask(body)
    assert outcome is not None
    assert outcome[0] == Decision("small", True, 5, frozenset())


@given(bodies())
@QUICK
async def test_every_reader_reads_what_was_decided_on(gate: Gate, body: bytes) -> None:
    await compared(gate, PYTHON_READERS, body)


@pytest.fixture(scope="module")
def real_readers() -> Iterator[dict[str, Reader]]:
    with go() as in_go, javascript() as in_javascript:
        yield {"Go": in_go, "JavaScript": in_javascript, **PYTHON_READERS}


@pytest.mark.soak
@given(bodies())
@settings(QUICK, max_examples=1500)
async def test_servers_in_go_and_javascript_read_what_was_decided_on(
    gate: Gate, real_readers: dict[str, Reader], body: bytes
) -> None:
    await compared(gate, real_readers, body)
