"""Model servers that quote what they were sent, in the words of real ones.

Where they come from: issues of vLLM (49239, 57997), LiteLLM (2792), OpenHands, LangChain (24531), llama.cpp (13178),
one-api, and the documentation of OpenAI, Azure, Gemini, Mistral, Groq, OpenRouter, Anthropic.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Said(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


class Asked:
    """A request as a server sees it: `all` its texts in one, `one` the longest of them."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.value: Any = json.loads(body) if body else {}
        texts = list(_texts(self.value))
        self.all = " / ".join(texts)
        self.one = max(texts, key=len)
        self.stream = self.value.get("stream") is True


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from _texts(member)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def said(status: int, value: Any, **headers: str) -> Said:
    return Said(status, json.dumps(value).encode(), {name.replace("_", "-"): each for name, each in headers.items()})


def error(status: int, message: str, /, **more: Any) -> Said:
    return said(status, {"error": {"message": message, **more}})


def sse(*events: Any) -> Said:
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in events]
    return Said(200, b"".join(b"data: %b\n\n" % line for line in lines), {"content-type": "text/event-stream"})


def chunk(**delta: Any) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "model": "x", "choices": [{"index": 0, "delta": delta}]}


def whole(**message: Any) -> Said:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
    return said(200, {"id": "c", "object": "chat.completion", "model": "x", "choices": [choice]})


def pydantic(asked: Asked, **more: Any) -> dict[str, Any]:
    return {
        "type": "string_type",
        "loc": ("body", "messages", 0, "content"),
        "msg": "Input should be a valid string",
        "input": asked.value,
        **more,
    }


def overflow(asked: Asked) -> str:
    return (
        f"This model's maximum context length is 100 tokens. However, your messages resulted in 120 tokens: {asked.all}"
    )


def tool_call(arguments: str) -> dict[str, Any]:
    return {"index": 0, "id": "call_1", "type": "function", "function": {"name": "Read", "arguments": arguments}}


QUOTING: dict[str, Callable[[Asked], Said]] = {
    "vLLM, errors of pydantic as a text": lambda a: said(
        400, {"object": "error", "message": f"[{pydantic(a)!r}]", "type": "BadRequestError", "param": None, "code": 400}
    ),
    "vLLM, the whole body as input": lambda a: error(
        400,
        f"1 validation error:\n  {{'type': 'missing', 'loc': ('body', 'x'), 'msg': 'Field required', "
        f"'input': {a.value!r}}}",
        type="Bad Request",
        code=400,
    ),
    "vLLM, a hundred complaints": lambda a: said(400, {"error": {"message": repr([pydantic(a)] * 100), "code": 400}}),
    "pydantic, in words": lambda a: error(
        400,
        "1 validation error for ChatCompletionRequest\nmessages.0.content\n  Input should be a valid string "
        f"[type=string_type, input_value={a.all!r}, input_type=str]\n    For further information visit https://errors.pydantic.dev/2.6/v/string_type",
    ),
    "FastAPI": lambda a: said(422, {"detail": [pydantic(a)]}),
    "FastAPI, quoted in the message": lambda a: said(
        422, {"detail": [{**pydantic(a), "msg": f"Value error, {a.all}"}]}
    ),
    "FastAPI, quoted in the place": lambda a: said(422, {"detail": [{**pydantic(a), "loc": ["body", a.all]}]}),
    "FastAPI, a text": lambda a: said(400, {"detail": f"cannot use {a.all}"}),
    "Mistral": lambda a: said(
        422,
        {
            "object": "error",
            "message": {"detail": [{**pydantic(a), "type": "extra_forbidden"}]},
            "type": "invalid_request_error",
        },
    ),
    "Mistral, a text": lambda a: said(
        400,
        {
            "object": "error",
            "message": f"Unexpected role in {a.all!r}",
            "type": "invalid_request_message_order",
            "code": "3230",
        },
    ),
    "OpenAI, a value": lambda a: error(
        400,
        f"Invalid value: '{a.one}'. Supported values are: 'text', 'image_url'.",
        type="invalid_request_error",
        param="messages[0]",
        code="invalid_value",
    ),
    "OpenAI, a type": lambda a: error(
        400, f"Invalid type for 'messages[0].content': expected a string, but got {a.all} instead.", code="invalid_type"
    ),
    "OpenAI, an image": lambda a: error(
        400, f"Failed to download image from {a.one}. Image URL may be invalid.", code="invalid_image_url"
    ),
    "OpenAI, a schema": lambda a: error(
        400,
        f"Invalid schema for function 'Read': In context=('properties', '{a.one}'), schema must have a 'type' key.",
        code="invalid_function_parameters",
    ),
    "OpenAI, a parameter": lambda a: error(
        400, f"Unknown parameter: '{a.one}'.", type="invalid_request_error", param=a.one, code="unknown_parameter"
    ),
    "Azure, the filter": lambda a: said(
        400,
        {
            "error": {
                "message": f"The response was filtered due to the prompt triggering our policy: {a.all}",
                "code": "content_filter",
                "status": 400,
                "innererror": {
                    "code": "ResponsibleAIPolicyViolation",
                    "content_filter_result": {"jailbreak": {"filtered": True, "detected": a.all}},
                },
            }
        },
    ),
    "LiteLLM": lambda a: error(
        400,
        f"litellm.BadRequestError: OpenAIException - Error code: 400 - {{'error': {{'message': {a.all!r}}}}}. "
        "Received Model Group=x\nAvailable Model Group Fallbacks=None",
        type=None,
        param=None,
        code="400",
    ),
    "LiteLLM, JSON in a text": lambda a: said(
        400, {"error": json.dumps({"error": {"message": json.dumps({"error": {"message": a.all}})}})}
    ),
    "Gemini": lambda a: said(
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": f"Invalid value at 'contents[0]' (TYPE_ENUM), \"{a.one}\"",
                    "status": "INVALID_ARGUMENT",
                    "details": [
                        {
                            "@type": "type.googleapis.com/google.rpc.BadRequest",
                            "fieldViolations": [{"field": a.one, "description": a.all}],
                        }
                    ],
                }
            }
        ],
    ),
    "llama.cpp, its template": lambda a: error(
        500, f"Value is not callable: null at row 49, column 79:\n{a.all}\n   ^", code=500, type="server_error"
    ),
    "llama.cpp, its parser": lambda a: error(
        500, f"Failed to parse input at pos 12: {a.all}", code=500, type="server_error"
    ),
    "llama.cpp, a schema": lambda a: error(
        400, f"JSON schema conversion failed:\nUnrecognized schema: {a.value!r}", code=400, type="invalid_request_error"
    ),
    "llama.cpp, too long": lambda a: error(
        400,
        f"the request exceeds the available context size: {a.all}",
        n_prompt_tokens=120,
        n_ctx=100,
        type="exceed_context_size_error",
    ),
    "Ollama": lambda a: said(400, {"error": f"invalid message content type: {a.all}"}),
    "Ollama, Go's JSON": lambda a: said(
        400, {"error": f"json: cannot unmarshal string into Go struct field ChatRequest.messages of type {a.one}"}
    ),
    "Groq": lambda a: error(
        400,
        "Failed to call a function. Please adjust your prompt.",
        type="invalid_request_error",
        code="tool_use_failed",
        failed_generation=a.all,
    ),
    "OpenRouter": lambda a: error(
        400,
        "Provider returned error",
        code=400,
        metadata={"raw": json.dumps({"error": {"message": a.all}}), "provider_name": a.one},
    ),
    "OpenRouter, moderation": lambda a: error(
        403, f"Input was flagged: {a.all}", code=403, metadata={"reasons": ["violence"], "flagged_input": a.all}
    ),
    "OpenRouter, no endpoint": lambda a: error(404, f"No endpoints found that support image input: {a.all}", code=404),
    "Anthropic": lambda a: said(
        400, {"type": "error", "error": {"type": "invalid_request_error", "message": f"messages.0.content: {a.all}"}}
    ),
    "Anthropic, overloaded": lambda a: said(
        529, {"type": "error", "error": {"type": "overloaded_error", "message": a.all}}, retry_after="3"
    ),
    "a page": lambda a: Said(
        502, f"<html><body><h1>Bad Gateway</h1><pre>{a.all}</pre></body></html>".encode(), {"content-type": "text/html"}
    ),
    "a page with a good status": lambda a: Said(
        200, f"<html>log in to see {a.all}</html>".encode(), {"content-type": "text/html"}
    ),
    "plain text": lambda a: Said(400, f"Bad Request: {a.all}".encode(), {"content-type": "text/plain"}),
    "cut off": lambda a: Said(400, json.dumps({"error": {"message": f"cannot use {a.all}"}}).encode()[:-9]),
    "over a limit": lambda a: error(400, f"cannot use {a.all * 200}"),
    "compressed": lambda a: Said(400, gzip.compress(error(400, a.all).body), {"content-encoding": "gzip"}),
    "escaped": lambda a: Said(
        400, ('{"error":{"message":"' + "".join(f"\\u{ord(each) & 0xFFFF:04x}" for each in a.all) + '"}}').encode()
    ),
    "in base64": lambda a: error(400, "cannot decode " + base64.b64encode(a.all.encode()).decode()),
    "in a code": lambda a: error(400, "no", code=a.one, type=a.all),
    "a word in a code": lambda a: error(
        400, "no", code=a.one.split()[0], type=a.one.split()[0], status=a.one.split()[0]
    ),
    "in a header": lambda a: said(
        429, {"error": {"message": "no"}}, retry_after=a.one, x_error=a.one, content_type="text/" + a.one.split()[0]
    ),
    "an unknown model": lambda a: error(
        404, f"The model `{a.one.split()[0]}` does not exist: {a.all}", code="model_not_found"
    ),
    "too long, in numbers": lambda a: error(400, overflow(a), code="context_length_exceeded"),
    "too long, in words": lambda a: error(400, f"the prompt is too long: {a.all}", type=a.one),
    "a rate": lambda a: error(
        429, f"Rate limit reached for {a.all}. Please try again in 0.01s.", code="rate_limit_exceeded"
    ),
    "no quota": lambda a: error(429, f"You exceeded your current quota with {a.all}", code="insufficient_quota"),
    "no key": lambda a: error(401, f"Incorrect API key provided: {a.all}", code="invalid_api_key"),
    "no permission": lambda a: error(403, f"you may not ask for {a.all}", type="permission_error"),
    "too large": lambda a: error(413, f"Request Entity Too Large: {a.all}"),
    "a time-out": lambda a: error(408, f"timed out on {a.all}"),
    "a traceback": lambda a: error(
        500, f'Traceback (most recent call last):\n  File "x.py", line 1\n    f({a.all!r})\nValueError: {a.all}'
    ),
    "no room": lambda a: error(503, f"overloaded while processing {a.all}"),
    "a capability": lambda a: error(400, f"image input is not supported - hint: {a.all}"),
    "a lesson": lambda a: error(
        400,
        f"Unsupported parameter: 'temperature' is not supported with this model. {a.all}",
        param="temperature",
        code="unsupported_parameter",
    ),
    "an error in a good answer": lambda a: said(200, {"error": {"message": a.all, "type": a.one, "code": a.one}}),
    "an error as events": lambda a: sse({"error": {"message": a.all, "type": a.one, "code": 500}}),
    "an error in the middle": lambda a: sse(
        chunk(role="assistant", content=a.all), {"error": {"message": a.all, "code": a.one}}
    ),
    "Anthropic's in the middle": lambda a: sse(
        {"type": "message_start", "message": {"id": "m", "model": "x", "type": "message"}},
        {"type": "error", "error": {"type": a.one, "message": a.all}},
    ),
    "an event that is none": lambda a: sse(a.all.encode(), {"type": a.one}),
    "an end in the middle": lambda a: sse(chunk(role="assistant", content=a.all)),
    "an answer": lambda a: whole(content=a.all, reasoning=a.all),
    "in an id and a reason": lambda a: said(
        200,
        {
            "id": a.one,
            "type": "message",
            "role": "assistant",
            "model": "x",
            "content": [],
            "stop_reason": a.one,
            "choices": [{"index": 0, "finish_reason": a.one, "message": {"role": "assistant", "content": "a"}}],
        },
    ),
    "a tool call in halves": lambda a: whole(content=None, tool_calls=[tool_call('{"path": "' + a.one)]),
}
