"""What the model wrote badly is not the client's fault: its clients try again, instead of ending the session."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.errors import Failed, PromptTooLong, RequestRejected, row_for
from asgi_llmgate.protocol.servers.errors.upstream_errors import upstream_error
from tests.protocol.responses import sse, streamed


def openai(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


BODIES: dict[str, tuple[int, Any]] = {
    "Groq": (
        400,
        openai(
            "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details.",
            code="tool_use_failed",
            failed_generation='<function=Bash{"x": 1}</function>',
        ),
    ),
    "Groq, no such tool": (
        400,
        openai(
            "Tool call validation failed: tool call validation failed: attempted to call tool 'open' which was not in "
            "request.tools",
            code="tool_use_failed",
        ),
    ),
    "Groq, gpt-oss": (
        400,
        openai("Parsing failed. The model generated output that could not be parsed.", code="output_parse_failed"),
    ),
    "Groq, JSON": (400, openai("Failed to generate JSON. Please adjust your prompt.", code="json_validate_failed")),
    "Ollama": (
        500,
        {"error": "error parsing tool call: raw='{\"x\":\"the prompt is too long\"}]', err=invalid character ']'"},
    ),
    "llama.cpp": (500, openai("Failed to parse input at pos 184: <tool_call>bash", code=500, type="server_error")),
    "vLLM": (500, {"object": "error", "message": "Error in extracting tool call from response.", "code": 500}),
    "vLLM, gpt-oss": (
        500,
        openai('unexpected tokens remaining in message header: Some("to=functions.Bash")', type="InternalServerError"),
    ),
    "vLLM, gpt-oss, told as 400": (400, openai("HarmonyError('Unknown role: assistantassistant')")),
    "vLLM, gpt-oss, a token": (
        500,
        openai("Unexpected token 12606 while expecting start token 200006", type="InternalServerError"),
    ),
    "OpenAI": (500, openai("The model produced invalid content. Consider modifying your prompt.", type="model_error")),
    "LiteLLM": (
        400,
        openai('litellm.BadRequestError: GroqException - {"error":{"message":"no","code":"tool_use_failed"}}'),
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_it_is_a_failure_of_the_server_that_is_tried_again(name: str) -> None:
    status, body = BODIES[name]
    found = upstream_error(status, json.dumps(body).encode(), {})
    assert type(found) is Failed
    assert (row_for(found).status, row_for(found).anthropic) == (500, "api_error")
    assert found.should_retry is None
    assert found.client_message.startswith("the model wrote a tool call, or a response, that its server could not read")
    assert found.message == found.client_message.partition(": ")[0]


@pytest.mark.parametrize("name", BODIES)
def test_so_it_is_in_a_stream(name: str) -> None:
    status, body = BODIES[name]
    inner = body.get("error", body)
    report = {"error": {**(inner if isinstance(inner, dict) else {"message": inner}), "code": status}}
    if isinstance(inner, dict) and inner.get("code"):
        report["error"]["type"] = inner["code"]
    data = sse(report)
    for pieces in ([data], [data[place : place + 1] for place in range(len(data))]):
        assert streamed(pieces).error["type"] == "api_error"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, openai("Invalid 'tools[0].function.name': does not match pattern"), RequestRejected),
        (400, openai("tool_choice 'required' is not supported"), RequestRejected),
        (400, openai("Prompt has 9001 tokens, but the configured context size is 8192"), PromptTooLong),
        (400, openai("Failed to parse tool call arguments as JSON: parse error at line 1"), RequestRejected),
        (422, {"detail": [{"loc": ["body"], "msg": "bad", "input": "failed_generation"}]}, RequestRejected),
    ],
)
def test_a_mistake_of_the_client_is_no_failed_generation(status: int, body: Any, kind: type[Exception]) -> None:
    assert type(upstream_error(status, json.dumps(body).encode(), {})) is kind
