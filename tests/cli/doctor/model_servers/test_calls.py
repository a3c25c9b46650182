"""Models that cannot call tools: what is said of each, from what their server really sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.cli.doctor.asking import Answer
from asgi_llmgate.cli.doctor.model_servers.calls import Model, about_tools
from asgi_llmgate.exchange_values import Usage
from asgi_llmgate.testing.model_script import Turn, call, refuse, say
from asgi_llmgate.testing.model_server import ModelServer

if TYPE_CHECKING:
    from tests.cli.doctor.conftest import Doctor

MODEL = Model("main", "m", "models[0].use", "models[0]", "claude-opus-5-5")


def has_tools(request: Any) -> bool:
    return "tools" in request.body


def is_demanded(request: Any) -> bool:
    return request.body.get("tool_choice") not in (None, "auto")


def asked(doctor: Doctor, serve: Callable[..., str], *turns: Turn, **backend: Any) -> list[dict[str, Any]]:
    """The steps about the model, after that of the stream."""
    return asked_of(doctor, serve, ModelServer([*turns, say("Fine.").always()], model="m"), **backend)


def asked_of(doctor: Doctor, serve: Callable[..., str], server: Any, **backend: Any) -> list[dict[str, Any]]:
    told = doctor({"backends": {"main": {"base_url": serve(server) + "/v1", **backend}}})
    return told.about("models[0]")[2:]


def test_a_template_without_tools(doctor: Doctor, serve: Callable[..., str]) -> None:
    model = ModelServer([say("Fine.").always()], model="m")

    async def without_tools(scope: Any, receive: Any, send: Any) -> None:
        """Takes the tools of a request, and leaves them out of the prompt."""
        message = await receive()
        body = json.loads(message["body"] or b"{}")
        left = {name: value for name, value in body.items() if name not in ("tools", "tool_choice")}

        async def shorter() -> Any:
            return {**message, "body": json.dumps(left).encode() if body else b""}

        await model(scope, shorter, send)

    (step,) = asked_of(doctor, serve, without_tools, dialect="vllm")
    assert step["state"] == "error"
    assert "never sees the tools: the prompt has" in step["message"]
    assert "--chat-template" in step["hint"]


def test_a_model_that_calls_only_when_it_must(doctor: Doctor, serve: Callable[..., str]) -> None:
    first, *_ = asked(doctor, serve, call("Read", file_path="README.md").when(is_demanded).always())
    assert first["state"] == "warning"
    assert "only when it must" in first["message"]


def test_a_model_that_never_calls(doctor: Doctor, serve: Callable[..., str]) -> None:
    (step,) = asked(doctor, serve)
    assert step["state"] == "error"
    assert "does not call the tool that it was told to use" in step["message"]


def test_a_model_that_does_not_come_to_a_call(doctor: Doctor, serve: Callable[..., str]) -> None:
    endless = replace(say("Hm. " * 20), finish_reason="length").when(has_tools).always()
    first, *_ = asked(doctor, serve, endless)
    assert first["state"] == "warning"
    assert "it is not known whether it can call tools" in first["message"]


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "Read", "arguments": {"file_path": "README.md"}}\n</tool_call>',
        "<function=Read>\n<parameter=file_path>\nREADME.md\n</parameter>\n</function>",
        '[TOOL_CALLS][{"name": "Read", "arguments": {"file_path": "README.md"}}]',
        'Sure: {"name": "Read", "parameters": {"file_path": "README.md"}}',
    ],
)
def test_a_call_that_is_left_in_the_text(doctor: Doctor, serve: Callable[..., str], text: str) -> None:
    (step,) = asked(doctor, serve, say(text).when(has_tools).always())
    assert step["state"] == "error"
    assert "writes its tool call as text" in step["message"]
    assert "dialect" in step["hint"]


def test_with_the_right_dialect_the_gateway_reads_such_a_call(doctor: Doctor, serve: Callable[..., str]) -> None:
    text = '<tool_call>\n{"name": "Read", "arguments": {"file_path": "README.md"}}\n</tool_call>'
    first, *_ = asked(doctor, serve, say(text).when(has_tools).always(), dialect="vllm")
    assert (first["state"], first["message"]) == ("ok", "m calls a tool")


def test_arguments_that_are_none(doctor: Doctor, serve: Callable[..., str]) -> None:
    first, *_ = asked(doctor, serve, call("Read", path=3).when(has_tools).always())
    assert first["state"] == "warning"
    assert "do not fit its schema" in first["message"]


def test_a_template_that_refuses_the_result_of_a_tool(doctor: Doctor, serve: Callable[..., str]) -> None:
    refused = refuse(400, "Unexpected role tool").when(lambda request: request.messages[-1]["role"] == "tool").always()
    first, last = asked(doctor, serve, refused, call("Read", file_path="README.md").when(has_tools).always())
    assert first["state"] == "ok"
    assert last["state"] == "error"
    assert "with the result of a tool" in last["message"]
    assert "Unexpected role tool" in last["message"]


def test_streams_that_fail_alone(doctor: Doctor, serve: Callable[..., str]) -> None:
    broken = say("Half of it").cut(after=1).when(lambda request: request.body.get("stream")).always()
    url = serve(ModelServer([broken, say("Fine.").always()], model="m")) + "/v1"
    told = doctor({"backends": {"main": {"base_url": url}}})
    first, second = told.about("models[0]") + told.about("backends.main.base_url")[2:]
    assert first["state"] == "ok"
    assert second["message"].startswith("a stream of m:")
    assert second["shown"].startswith("API Error: ")


def answer(text: str = "", tokens: int = 0, **fields: Any) -> Answer:
    return Answer(200, content=[{"type": "text", "text": text}], usage=Usage(tokens, 1), **fields)


@pytest.mark.parametrize(("more", "is_seen"), [(0, False), (11, False), (12, True), (200, True)])
def test_the_count_tells_whether_the_model_sees_the_tool(more: int, is_seen: bool) -> None:
    step = about_tools(MODEL, answer(tokens=40), answer("Fine.", tokens=40 + more), "vllm")
    assert (step is None) == is_seen


def test_without_counts_nothing_is_said_of_the_template() -> None:
    guess = Answer(200, usage=Usage(40, 1, estimated=True))
    assert about_tools(MODEL, guess, guess, "vllm") is None
    assert about_tools(MODEL, Answer(200), Answer(200), "vllm") is None
