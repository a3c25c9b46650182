from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from asgi_llmgate.exchange_values import Usage, Verdict
from asgi_llmgate.safeguards.prompt import MAX_INPUT
from asgi_llmgate.testing.model_script import Turn, call, raw, refuse, say
from asgi_llmgate.testing.model_server import ModelServer
from tests.safeguards.classified import Classifying, bash, lines_of, says, summary, verdicts, without_time

Serve = Callable[..., str]


async def test_all_calls_are_asked_about_at_once(serve: Serve) -> None:
    server = ModelServer([says("pass", "flag")])
    uses = bash("ls", 1), bash("rm -rf /", 2)
    async with Classifying(serve(server)) as classify:
        first, second = await classify(*uses)
    assert without_time(first) == Verdict(tool_use=uses[0], outcome="pass", decided_by="classifier", model="m0/model")
    assert without_time(second) == Verdict(
        tool_use=uses[1], outcome="flag", explanation="flag 2", decided_by="classifier", model="m0/model"
    )
    assert first.milliseconds > 0
    [request] = server.requests
    assert lines_of(request) == [
        {"person": "make it work"},
        {
            "calls": [
                {"id": "1", "tool": "Bash", "input": {"command": "ls"}},
                {"id": "2", "tool": "Bash", "input": {"command": "rm -rf /"}},
            ]
        },
    ]


async def test_the_answer_is_asked_for_by_a_schema_and_without_thinking(serve: Serve) -> None:
    server = ModelServer([says("pass")])
    async with Classifying(serve(server), dialect="vllm") as classify:
        await classify(bash("ls"))
    [request] = server.requests
    assert request.body["response_format"]["json_schema"]["schema"]["required"] == ["verdicts"]
    assert request.body["reasoning_effort"] == "none"
    assert request.body["model"] == "model"
    assert "stream" not in request.body


async def test_the_question_has_a_record_of_its_own(serve: Serve) -> None:
    async with Classifying(serve(ModelServer([says("pass")]))) as classify:
        await classify(bash("ls"), agent_id="agent")
    [record] = classify.records
    assert (record.outcome, record.parent_request_id) == ("ok", classify.exchange.request_id)
    assert record.request_id != classify.exchange.request_id
    assert record.identity is classify.exchange.identity
    assert record.call is not None
    assert (record.call.request_class, record.call.session_id, record.call.agent_id) == (
        "safeguard",
        "session",
        "agent",
    )
    assert isinstance(record.usage, Usage)
    assert record.usage.output > 0
    assert classify.exchange.usage is None
    assert classify.exchange.target is None
    assert classify.exchange.attempts == []


NO_ANSWER: dict[str, Turn] = {
    "prose": say("They are all fine."),
    "no verdict": says(),
    "cut": says("pass").finish("length"),
    "a tool call": call("answer", verdicts=[]),
    "a page": raw(b"<html>", content_type="text/html"),
    "401": refuse(401, "bad key sk-secret"),
    "429": refuse(429, "slow down"),
    "500": refuse(500, "oops"),
    "too large": say("x" * 300_000),
}


@pytest.mark.parametrize("turn", NO_ANSWER.values(), ids=NO_ANSWER)
async def test_what_is_no_answer_does_what_the_setting_says(
    serve: Serve, turn: Turn, caplog: pytest.LogCaptureFixture
) -> None:
    url = serve(ModelServer([turn.always()]))
    async with Classifying(url) as classify:
        assert [summary(each) for each in await classify(bash("ls"))] == [("unavailable", "error")]
    [logged] = caplog.records
    assert "secret" not in logged.getMessage()
    assert "127.0.0.1" not in logged.getMessage()
    async with Classifying(url, on_failure="flag") as classify:
        [verdict] = await classify(bash("ls"))
    assert verdict.outcome == "flag"
    assert "could not be checked (the check has failed)" in verdict.explanation
    assert len(classify.records) == 1


async def test_a_malformed_message_of_a_native_server_does_what_the_setting_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def malformed(*args: Any, **options: Any) -> bytes:
        return b'{"type":"message","stop_reason":"end_turn","content":null}'

    monkeypatch.setattr("asgi_llmgate.safeguards.classifier.ask", malformed)
    async with Classifying("http://127.0.0.1:1", on_failure="flag") as classify:
        assert [each.outcome for each in await classify(bash("ls"))] == ["flag"]


async def test_a_missing_verdict_is_missing_for_its_call_only(serve: Serve) -> None:
    async with Classifying(serve(ModelServer([says("pass")]))) as classify:
        found = await classify(bash("ls", 1), bash("ls", 2))
    assert [summary(each) for each in found] == [("pass", ""), ("unavailable", "error")]


async def test_what_one_target_leaves_open_the_next_one_is_asked(serve: Serve) -> None:
    first, second = ModelServer([says("flag")]), ModelServer([says("pass")])
    async with Classifying(serve(first), serve(second)) as classify:
        found = await classify(bash("a", 1), bash("b", 2))
    assert [(each.outcome, each.model) for each in found] == [("flag", "m0/model"), ("pass", "m1/model")]
    [request] = second.requests
    assert lines_of(request)[-1] == {"calls": [{"id": "1", "tool": "Bash", "input": {"command": "b"}}]}
    assert len(classify.records) == 2


async def test_a_target_that_is_down_is_followed_by_the_next_one(serve: Serve) -> None:
    async with Classifying("http://127.0.0.1:1", serve(ModelServer([says("pass")]))) as classify:
        assert [each.outcome for each in await classify(bash("ls"))] == ["pass"]
    assert [record.outcome for record in classify.records] == ["upstream_error", "ok"]


async def test_a_silent_target_leaves_time_for_the_next_one(serve: Serve) -> None:
    urls = serve(ModelServer([says("pass").stall()])), serve(ModelServer([says("pass")]))
    async with Classifying(*urls, timeout=2.4) as classify:
        assert [each.model for each in await classify(bash("ls"))] == ["m1/model"]


async def test_a_classifier_that_is_too_slow_is_not_waited_for(serve: Serve) -> None:
    async with Classifying(serve(ModelServer([says("pass").stall()])), timeout=0.05) as classify:
        [verdict] = await classify(bash("ls"))
    assert summary(verdict) == ("unavailable", "timeout")
    [record] = classify.records
    assert (record.outcome, record.error_type) == ("upstream_error", "TimedOut")


async def test_a_client_that_leaves_ends_the_question(serve: Serve) -> None:
    server = ModelServer([says("pass").stall()])
    async with Classifying(serve(server)) as classify:
        asking = asyncio.ensure_future(classify(bash("ls")))
        while not server.requests:
            await asyncio.sleep(0.001)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    [record] = classify.records
    assert record.outcome == "client_disconnect"


@pytest.mark.parametrize(
    ("outcome", "expected"), [("pass", ("unavailable", "input_too_long")), ("flag", ("flag", "flag 1"))]
)
async def test_a_call_that_is_not_shown_whole_cannot_pass(
    serve: Serve, outcome: str, expected: tuple[str, str]
) -> None:
    server = ModelServer([says(outcome, "pass").always()])
    async with Classifying(serve(server)) as classify:
        found = await classify(bash("ls " + "x" * MAX_INPUT + "; rm -rf /", 1), bash("ls", 2))
    assert [summary(each) for each in found] == [expected, ("pass", "")]
    shown = lines_of(server.requests[0])[-1]["calls"][0]
    assert shown["cut"] > 0
    assert shown["input_end"].endswith('; rm -rf /"}')


async def test_more_calls_than_a_question_may_have_are_not_checked(serve: Serve) -> None:
    async with Classifying(serve(ModelServer([says(*["pass"] * 32)]))) as classify:
        found = await classify(*(bash("ls", number) for number in range(33)))
    assert [each.outcome for each in found] == ["pass"] * 32 + ["unavailable"]


async def test_an_explanation_is_one_line_of_300_characters(serve: Serve) -> None:
    reason = "a\n\tb\x1b[31m" + "x" * 400
    answer = json.dumps({"verdicts": [{"id": "1", "reason": reason, "outcome": "flag"}]})
    async with Classifying(serve(ModelServer([say(answer)]))) as classify:
        [verdict] = await classify(bash("ls"))
    assert verdict.explanation.startswith("a b\ufffd[31mxxx")
    assert len(verdict.explanation) == 300


async def test_the_company_can_say_what_is_to_be_flagged(serve: Serve) -> None:
    server = ModelServer([says("pass")])
    async with Classifying(serve(server), instructions="Flag everything about llamas.") as classify:
        await classify(bash("ls"))
    system = server.requests[0].messages[0]["content"]
    assert "Flag everything about llamas." in system
    assert "Answer with one JSON object" in system
    assert "Foreign code" not in system


async def test_nothing_to_ask_is_not_asked(serve: Serve) -> None:
    server = ModelServer()
    async with Classifying(serve(server)) as classify:
        assert await classify() == []
    assert server.requests == []


class NativeServer:
    """An Anthropic server.  With `refusing` it refuses fields that are not in its first version."""

    def __init__(self, *, refusing: bool) -> None:
        self.refusing = refusing
        self.bodies: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        received = b""
        while True:
            message = await receive()
            received += message.get("body", b"")
            if not message.get("more_body"):
                break
        body = json.loads(received)
        self.bodies.append(body)
        status, answer = 200, self._message()
        if self.refusing and "output_config" in body:
            status = 400
            answer = {"type": "error", "error": {"type": "invalid_request_error", "message": "output_config: no"}}
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _message(self) -> dict[str, Any]:
        text = {"type": "text", "text": verdicts("pass")}
        return {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "model": "model",
            "stop_reason": "end_turn",
            "content": [{"type": "thinking", "thinking": "hm", "signature": ""}, text],
            "usage": {"input_tokens": 10, "output_tokens": 5},
        }


@pytest.mark.parametrize("refusing", [False, True])
async def test_a_native_server_is_asked_too(serve: Serve, refusing: bool) -> None:
    server = NativeServer(refusing=refusing)
    async with Classifying(serve(server), dialect="anthropic") as classify:
        assert [each.outcome for each in await classify(bash("ls"))] == ["pass"]
        assert [each.outcome for each in await classify(bash("ls"))] == ["pass"]
    # What a server has refused is not sent to it again.
    assert ["output_config" in body for body in server.bodies] == ([True, False, False] if refusing else [True, True])
    assert server.bodies[0]["system"][0]["cache_control"] == {"type": "ephemeral"}
