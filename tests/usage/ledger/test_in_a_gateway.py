"""The ledger behind a gateway that settings describe: requests are served whatever becomes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from asgi_llmgate import Gateway, SettingsError, UsageMiddleware
from asgi_llmgate.asgi import respond
from asgi_llmgate.testing.driver import call
from asgi_llmgate.testing.model_script import call as calls_tool
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.usage.ledger import Ledger, parse_url
from tests.usage.ledger.records import Stored

ASK = {"model": "claude-opus-5-5", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def settings(serve: Callable[..., str]) -> dict[str, Any]:
    return {
        "auth": {"mode": "off"},
        "policy": {"default": "allow"},
        "backends": {"openai": {"base_url": serve(ModelServer([say("Hi.").always()])) + "/v1"}},
        "models": [{"match": "*", "use": "openai/gpt-4o-mini"}],
        "usage": {"ledger": {}, "fields": {"asked": "llm.requestModel"}, "access_log": {"file": "access.log"}},
    }


def make(settings: dict[str, Any], folder: Path, **ledger: Any) -> Gateway:
    return Gateway.from_settings(settings | {"usage": settings["usage"] | {"ledger": ledger}}, folder=folder)


async def test_every_call_is_in_the_database_after_shutdown(settings, tmp_path: Path) -> None:
    async with make(settings, tmp_path) as gateway:
        for stream in (True, False):
            assert (await call(gateway, "POST", "/v1/messages", json=ASK | {"stream": stream})).status == 200
        assert (await call(gateway, "GET", "/v1/nothing")).status == 404
        assert (await call(gateway, "GET", "/readyz")).body == b"ok\n"
    stored = Stored(parse_url("sqlite:///llmgate.db", tmp_path))
    rows = stored("SELECT status, input_tokens, output_tokens, fields FROM usage_record ORDER BY id")
    assert [row[0] for row in rows] == [200, 200, 404]
    assert rows[0][1:] == rows[1][1:]
    assert rows[0][1] > 0
    stored.database.close()


async def test_a_record_is_in_the_journal_before_the_client_can_read_the_end(serve, tmp_path: Path) -> None:
    ledger = Ledger(parse_url("sqlite:///ledger.db", tmp_path), journal=tmp_path / "journal", linger=3600.0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, 200, [], b"hello")

    url = serve(UsageMiddleware(app, sinks=[ledger]))
    with httpx.Client(trust_env=False) as client:
        for count in range(1, 21):
            assert client.get(url).text == "hello"
            (segment,) = (tmp_path / "journal").glob("*.jsonl")
            assert segment.read_bytes().count(b"\n") == count
    await ledger.aclose()


async def test_nothing_is_made_before_the_first_record(settings, tmp_path: Path) -> None:
    async with make(settings, tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


async def test_a_request_is_served_without_a_journal_and_readyz_shows_it(settings, tmp_path: Path) -> None:
    gateway = make(settings, tmp_path, journal="in-the-way/journal")
    (tmp_path / "in-the-way").write_text("")
    assert (await call(gateway, "POST", "/v1/messages", json=ASK)).status == 200
    ready = await call(gateway, "GET", "/readyz")
    assert (ready.status, ready.body) == (503, b"not ready: ledger journal\n")
    assert (tmp_path / "access.log").read_text().count("\n") == 1
    await gateway.shutdown()


@pytest.mark.parametrize(
    ("ledger", "path", "says"),
    [
        ({"url": "mysql://x:secret@h/db"}, "usage.ledger.url", "mysql is not supported"),
        ({"url": "secret"}, "usage.ledger.url", "not a database URL"),
        ({"url": "sqlite://"}, "usage.ledger.url", "a ledger in memory keeps nothing"),
        ({"keep": "long"}, "usage.ledger.keep", "not a duration: 'long'"),
        ({"keep": "9999999d"}, "usage.ledger.keep", "longer than 36500 days: '9999999d'"),
        ({"journal": "file/journal"}, "usage.ledger.journal", "cannot write in"),
        ({"journla": "x"}, "usage.ledger.journla", "did you mean journal?"),
    ],
)
def test_a_mistake_is_told_with_its_place(settings, tmp_path: Path, ledger, path: str, says: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError) as caught:
        make(settings, tmp_path, **ledger)
    assert caught.value.path == path
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_flag_is_in_the_answer_the_log_the_ledger_and_at_the_webhook(
    settings, serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def receiver(scope: Any, receive: Any, send: Any) -> None:
        told.append(json.loads((await receive())["body"]))
        await respond(send, 204, [], b"")
        if len(told) == 2:
            loop.call_soon_threadsafe(arrived.set)

    monkeypatch.setenv("SECRET", "s" * 32)
    turn = calls_tool("Bash", command="deploy prod") + calls_tool("Read", file_path="/etc/hosts")
    judged = settings | {
        "secret": "env:SECRET",
        "backends": {"openai": {"base_url": serve(ModelServer([turn.always()])) + "/v1"}},
        "safeguards": {
            "rules": [
                {"name": "no-prod", "outcome": "flag", "when": 'tool.name == "Bash"', "reason": "ask the pipeline"},
                {"name": "reads", "outcome": "pass", "when": 'tool.name == "Read"'},
            ],
            "notify": serve(receiver) + "/flags",
        },
    }
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in ("Bash", "Read")]
    asking = ASK | {"tools": tools, "safeguards": [{"type": "dangerous_tool_use"}]}
    async with make(judged, tmp_path) as gateway:
        for stream in (True, False):
            reply = await call(gateway, "POST", "/v1/messages", json=asking | {"stream": stream})
            assert b"ask the pipeline" in reply.body
        async with asyncio.timeout(60):
            await arrived.wait()
        assert (await call(gateway, "GET", "/readyz")).body == b"ok\n"
    log = (tmp_path / "access.log").read_text()
    assert "deploy prod" not in log
    judged_calls = [json.loads(line)["llmgate.safeguards"] for line in log.splitlines() if "/v1/messages" in line]
    assert len(judged_calls) == len(told) == 2
    hashes = set()
    for bash, read in judged_calls:
        assert (bash["outcome"], bash["rule"], read["outcome"], read["rule"]) == ("flag", "no-prod", "pass", "reads")
        hashes.add(bash["input_hmac"])
    for event in told:
        assert (event["data"]["rule"], event["data"]["explanation"]) == ("no-prod", "ask the pipeline")
        hashes.add(event["data"]["input_hmac"])
    assert len(hashes) == 1
    assert "deploy prod" not in str(told)
    stored = Stored(parse_url("sqlite:///llmgate.db", tmp_path))
    assert (
        stored("SELECT tool, outcome, rule, input, notify_at_ms FROM usage_verdict ORDER BY id")
        == [
            ("Bash", "flag", "no-prod", "", None),
            ("Read", "pass", "reads", "", None),
        ]
        * 2
    )
    stored.database.close()
