from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from asgi_llmgate import Backend, Exchange, ModelRow, ModelTable, TranslationApp
from asgi_llmgate.exchange_values import ToolUse, Verdict
from asgi_llmgate.testing.driver import Driver, call
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.testing.model_server import ModelServer
from tests.protocol.safeguards.test_own_classifier import LS, SEVERITY, question

Serve = Callable[..., str]


class Script:
    """A judge with one outcome for every call."""

    def __init__(self, outcome: Any = "pass", *, waits: bool = False, error: Exception | None = None) -> None:
        self.outcome = outcome
        self.waits = waits
        self.error = error
        self.asked: list[ToolUse] = []
        self.exchange = Exchange()

    async def judge(
        self,
        scope: Any,
        exchange: Exchange,
        request: Any,
        tool_uses: Sequence[ToolUse],
        by_server: Mapping[str, Verdict],
    ) -> Sequence[Verdict]:
        self.asked += tool_uses
        self.exchange = exchange
        if self.waits:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        [use] = tool_uses
        return [Verdict(tool_use=use, outcome=self.outcome, explanation="not in production", decided_by="rule")]


@pytest.fixture
async def gate(serve: Serve) -> Any:
    """`gate(judge, ...) -> (app, model server)`"""
    apps: list[TranslationApp] = []

    def make(judge: Script, **options: Any) -> tuple[TranslationApp, ModelServer]:
        server = ModelServer([say("<block>yes</block><reason>by the model").when(lambda request: True).always()])
        models = ModelTable([ModelRow("*", ("model/gpt-4o-mini",))], {"model": "openai"})
        backends = {"model": Backend(base_url=serve(server) + "/v1")}
        apps.append(TranslationApp(backends, models=models, safeguards=judge, **options))
        return apps[-1], server

    yield make
    for app in apps:
        await app.aclose()


async def ask(app: Any, body: dict[str, Any]) -> str:
    reply = await call(app, "POST", "/v1/messages", json=body)
    assert reply.status == 200
    text: str = reply.json()["content"][0]["text"]
    return text


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [("pass", "<block>no</block>"), ("flag", "<block>yes</block><reason>not in production</reason>")],
)
async def test_the_rules_answer(gate: Any, outcome: str, expected: str) -> None:
    app, server = gate(judge := Script(outcome), own_classifier="answer")
    assert await ask(app, question(LS)) == expected
    assert server.requests == []
    assert [(use.name, use.input) for use in judge.asked] == [("Bash", b'{"command":"ls"}')]
    assert [verdict.outcome for verdict in judge.exchange.verdicts] == [outcome]
    assert judge.exchange.outcome == "ok"


@pytest.mark.parametrize(
    ("judge", "options", "body"),
    [
        (Script("flag"), {}, question(LS)),
        (Script("flag"), {"own_classifier": "answer"}, question(LS, end=SEVERITY)),
        (Script("unavailable"), {"own_classifier": "answer"}, question(LS)),
        (Script(error=KeyError("x")), {"own_classifier": "answer"}, question(LS)),
    ],
    ids=["not asked to", "not certain", "undecided", "failed"],
)
async def test_the_model_answers(gate: Any, judge: Script, options: dict[str, Any], body: dict[str, Any]) -> None:
    app, server = gate(judge, **options)
    assert await ask(app, body) == "<block>yes</block><reason>by the model"
    assert len(server.requests) == 1


async def test_a_client_that_leaves_ends_the_judging(gate: Any) -> None:
    app, server = gate(judge := Script(waits=True), own_classifier="answer")
    async with Driver(app, "POST", "/v1/messages", json=question(LS)) as driver:
        while not judge.asked:
            await asyncio.sleep(0.001)
        driver.disconnect()
        await driver.finish()
    assert judge.exchange.outcome == "client_disconnect"
    assert server.requests == []
