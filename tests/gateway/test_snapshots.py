"""New settings for a running gateway: a snapshot is replaced, and the running state stays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asgi_llmgate import Gateway
from asgi_llmgate.running_state import RunningState
from asgi_llmgate.testing.driver import Driver, call
from asgi_llmgate.testing.idp import MockIdP

BODY = {"model": "claude-opus-5", "max_tokens": 50, "stream": True, "messages": [{"role": "user", "content": "hello"}]}


class PausingServer:
    """A model server whose stream waits in the middle until `release` is set."""

    def __init__(self) -> None:
        self.release = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _event({"content": "Hi"}), "more_body": True})
        while not self.release:
            await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": _event({}, "stop") + b"data: [DONE]\n\n"})


def _event(delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"


def replace_settings(gateway: Gateway, settings: dict[str, Any], folder: Path) -> None:
    """What a reload does."""
    gateway._snapshot = Gateway.from_settings(settings, folder=folder, state=gateway._state)._snapshot


@pytest.fixture
def idp(serve: Callable[..., str]) -> MockIdP:
    found = MockIdP(audience="llm")
    found.issuer = serve(found)
    return found


def settings_for(idp: MockIdP, url: str, rule: str) -> dict[str, Any]:
    return {
        "auth": {"providers": [{"issuer": idp.issuer, "audiences": ["llm"]}]},
        "policy": {"rules": [rule]},
        "backends": {"one": {"base_url": url}, "two": {"base_url": "http://127.0.0.1:9/v1"}},
        "models": [{"match": "*", "use": "one/m"}],
        "limits": [{"name": "few", "key": "identity.subject", "requests": "3/day"}],
        "usage": {"access_log": {"file": "access.log"}},
    }


async def test_an_open_stream_ends_under_its_settings_and_the_next_request_has_the_new_ones(
    serve: Callable[..., str], idp: MockIdP, tmp_path: Path
) -> None:
    server = PausingServer()
    url = serve(server) + "/v1"
    allowing, denying = settings_for(idp, url, "true"), settings_for(idp, url, "false")
    headers = {"authorization": f"Bearer {idp.mint()}"}

    async def ask() -> int:
        return (await call(gateway, "POST", "/v1/messages", json=BODY, headers=headers, timeout=30)).status

    async with Gateway.from_settings(allowing, folder=tmp_path) as gateway:
        async with Driver(gateway, "POST", "/v1/messages", json=BODY, headers=headers, timeout=30) as client:
            await client.chunk()
            replace_settings(gateway, denying, tmp_path)
            assert await ask() == 403
            server.release = True
            assert (await client.read()).events()[-1][0] == "message_stop"
        assert await ask() == 403
        replace_settings(gateway, allowing, tmp_path)
        # The stream was one of three, and who is refused uses up nothing: the count has gone on.
        assert [await ask() for _ in range(3)] == [200, 200, 429]
    assert idp.requests.count("/jwks.json") == 1
    records = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    assert [record["status"] for record in records] == [403, 200, 403, 200, 200, 429]


def test_what_is_unchanged_keeps_its_running_state_and_what_is_changed_gets_a_new_one(
    idp: MockIdP, tmp_path: Path
) -> None:
    settings, state = settings_for(idp, "http://127.0.0.1:9/v1", "true"), RunningState()

    def kept() -> dict[tuple[str, str], object]:
        return {key: kept for key, (_, kept) in state._kept.items()}

    Gateway.from_settings(settings, folder=tmp_path, state=state)
    first = kept()
    assert {kind for kind, _ in first} == {
        "client", "corrections", "credential", "draining", "estimates", "keys", "limits", "sealer", "sink", "uploads",
    }  # fmt: skip
    Gateway.from_settings({**settings, "policy": {"rules": ["false"]}}, folder=tmp_path, state=state)
    assert [key for key in first if kept()[key] is not first[key]] == []
    settings["backends"]["two"]["base_url"] = "http://127.0.0.1:8/v1"
    settings["auth"]["providers"].append({"issuer": "https://other.test", "audiences": ["llm"]})
    Gateway.from_settings(settings, folder=tmp_path, state=state)
    changed = kept()
    assert [key for key in first if changed[key] is not first[key]] == [("corrections", "two")]
    assert set(changed) - set(first) == {("keys", "https://other.test")}


async def test_what_was_replaced_is_closed_at_the_shutdown_too() -> None:
    closed: list[str] = []

    class Connection:
        def __init__(self, name: str) -> None:
            self.name = name

        async def aclose(self) -> None:
            closed.append(self.name)

    state = RunningState()
    first = state.keep("client", "", 1, lambda: Connection("first"))
    assert state.keep("client", "", 1, lambda: Connection("unused")) is first
    state.keep("client", "", 2, lambda: Connection("second"))
    async with Gateway(models=[], state=state):
        pass
    assert sorted(closed) == ["first", "second"]
