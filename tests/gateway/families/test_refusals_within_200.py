"""A refusal that comes as the first event, or as the document, of a response with the status 200."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from asgi_llmgate.testing.grammar import check_stream
from tests.gateway.families.conftest import MakeGate
from tests.helpers.wire_server import WireRequest, Writer, chunk, head, sse

SSE = b"content-type: text/event-stream"
JSON = b"content-type: application/json"
LOOP = [
    {"role": "user", "content": "list"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "A", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}, {"type": "text", "text": "go on"}]},
]
A = {"name": "A", "input_schema": {"type": "object", "properties": {"n": {"const": 1}}}}


def user_after_tool(body: Any) -> bool:
    roles = [message["role"] for message in body["messages"]]
    return ("tool", "user") in itertools.pairwise(roles)


REFUSALS: dict[str, tuple[Any, Callable[[Any], bool], dict[str, Any]]] = {
    "output, TGI": (
        {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 1000 `inputs` "
         "tokens and 8000 `max_new_tokens`", "error_type": "validation"},
        lambda body: body["max_tokens"] > 3096,
        {"max_tokens": 8000},
    ),
    "output, SGLang": (
        {"object": "error", "message": "Requested token count exceeds the model's maximum context length of 32768 "
         "tokens. You requested a total of 33000 tokens: 1000 tokens from the input messages and 32000 tokens for the "
         "completion.", "type": "BadRequestError", "param": None, "code": 400},
        lambda body: body["max_tokens"] > 31768,
        {"max_tokens": 32000},
    ),
    "roles, Mistral's template": (
        {"error": {"message": "Unexpected role 'user' after role 'tool'", "code": 400}},
        user_after_tool,
        {"messages": LOOP, "tools": [A]},
    ),
    "a field": (
        {"error": {"message": "Unknown parameter: 'parallel_tool_calls'.", "type": "invalid_request_error"}},
        lambda body: "parallel_tool_calls" in body,
        {"tools": [A], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    "a field, in an error without a code": (
        {"error": "Unknown parameter: 'parallel_tool_calls'."},
        lambda body: "parallel_tool_calls" in body,
        {"tools": [A], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    "a schema, llama.cpp": (
        {"error": {"code": 400, "message": "JSON schema conversion failed:\nUnrecognized schema: {\"const\":1}",
                   "type": "invalid_request_error"}},
        lambda body: "const" in json.dumps(body["tools"]),
        {"tools": [A]},
    ),
}  # fmt: skip


def server(refusal: Any, refuses: Callable[[Any], bool], form: str) -> Callable[[WireRequest, Writer], Any]:
    async def respond(request: WireRequest, writer: Writer) -> None:
        body = json.loads(request.body)
        if not refuses(body):
            writer.write(head(SSE) + sse(chunk({"content": "fine"}), chunk(finish="stop"), "[DONE]"))
            return
        data = json.dumps(refusal).encode()
        forms = {
            "event": head(SSE) + b"data: " + data + b"\n\n",
            "event, then DONE": head(SSE) + b": ok\n\ndata: " + data + b"\n\ndata: [DONE]\n\n",
            "named event": head(SSE) + b"event: error\ndata: " + data + b"\n\n",
            "document": head(JSON) + data,
            "document as a stream": head(SSE) + data,
        }
        writer.write(forms[form])

    return respond


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("form", ["event", "event, then DONE", "named event", "document", "document as a stream"])
@pytest.mark.parametrize(("refusal", "refuses", "fields"), REFUSALS.values(), ids=REFUSALS)
async def test_the_request_is_corrected_and_the_correction_is_kept(
    gate: MakeGate, refusal: Any, refuses: Callable[[Any], bool], fields: dict[str, Any], form: str, stream: bool
) -> None:
    made = await gate(server(refusal, refuses, form), dialect="generic", grace=0.01)
    reply = await made.ask(stream=stream, **fields)
    message = check_stream(reply.body) if stream else reply.json()
    assert message["content"] == [{"type": "text", "text": "fine"}]
    attempts = len(made.exchange.attempts)
    assert [bool(attempt.error) for attempt in made.exchange.attempts] == [*[True] * (attempts - 1), False]
    assert attempts <= 3  # a schema is rewritten in two steps
    if "max_tokens" not in fields:  # how much output fits is found out for each prompt
        await made.ask(stream=stream, **fields)
        assert len(made.exchange.attempts) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize(
    "refusal",
    [{"error": {"message": "the model has crashed", "code": 500}}, {"error": {"message": "no reason at all"}}],
)
async def test_an_error_that_asks_for_nothing_is_told_after_one_attempt(
    gate: MakeGate, refusal: Any, stream: bool
) -> None:
    made = await gate(server(refusal, lambda body: True, "event"), dialect="generic", grace=0.01)
    reply = await made.ask(stream=stream)
    assert reply.status == 500
    assert len(made.exchange.attempts) == 1


async def test_words_of_a_refusal_in_what_the_model_writes_are_text(gate: MakeGate) -> None:
    words = 'The server said: {"error": {"message": "Unknown parameter: \'stream_options\'."}}'

    async def respond(request: WireRequest, writer: Writer) -> None:
        writer.write(head(SSE) + sse(chunk({"content": words}), chunk(finish="stop"), "[DONE]"))

    made = await gate(respond, grace=0.01)
    message = check_stream((await made.ask(stream=True)).body)
    assert message["content"] == [{"type": "text", "text": words}]
    assert len(made.exchange.attempts) == 1
