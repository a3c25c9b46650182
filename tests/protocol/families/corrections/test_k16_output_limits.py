"""K16: the server states how many output tokens it accepts, in whatever words: that many are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def wrapped(message: str, how: str) -> Any:
    match how:
        case "Bedrock":
            return {"message": message}
        case "Vertex":
            return [{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}]
        case "text":
            return {"detail": message}
    return message


LIMITS = [
    (
        "OpenAI",
        "max_tokens is too large: 32000. This model supports at most 16384 completion tokens, whereas you provided "
        "32000.",
        16384,
    ),
    (
        "OpenAI",
        "Invalid 'max_tokens': integer above maximum value. Expected a value <= 4096, but got 32000 instead.",
        4096,
    ),
    ("OpenAI", "max_completion_tokens is too large: 32000. This model supports at most 8192 completion tokens.", 8192),
    ("Anthropic", "max_tokens: 32000 > 8192, which is the maximum allowed number of output tokens for claude-4", 8192),
    (
        "Bedrock",
        "The maximum tokens you requested exceeds the model limit of 5120. Try again with a maximum tokens value "
        "that is lower than 5120.",
        5120,
    ),
    (
        "Vertex",
        "Unable to submit request because it has a maxOutputTokens value of 32000 but the supported range is from 1 "
        "(inclusive) to 8193 (exclusive). Update the value and try again.",
        8192,
    ),
    (
        "Vertex",
        "Unable to submit request because it has a maxOutputTokens value of 70000 but the supported range is from 1 "
        "(inclusive) to 16385 (exclusive).",
        16384,
    ),
    (
        "Ollama",
        "max_tokens (32000) exceeds model's maximum output tokens (16384) for model deepseek-v4-flash:0731",
        16384,
    ),
    ("DashScope", "<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 8192]", 8192),
    ("DeepSeek", "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
    ("Qianfan", "the max_output_tokens is not in range [2, 2048]", 2048),
    (
        "Groq",
        "`max_tokens` must be less than or equal to `16384`, the maximum value for `max_tokens` is less than the "
        "`context_window` for this model",
        16384,
    ),
    ("Groq", "max_tokens for `llama-3.1-8b-instant` must be less than or equal to 8000", 8000),
    (
        "Cohere",
        "too many tokens: max tokens must be less than or equal to 4096, the maximum output for this model - "
        "received 32000.",
        4096,
    ),
    (
        "Volcengine",
        "The parameter `max_tokens` specified in the request are not valid: integer above maximum value, "
        "expected a value <= 12288, but got 32000 instead.",
        12288,
    ),
    ("Dify", "Model Parameter max_tokens should be less than or equal to 12288.0.", 12288),
    (
        "NIM",
        '[{"type":"less_than_equal","loc":["body","max_tokens"],"msg":"Input should be less than or equal to 4096"}]',
        4096,
    ),
    ("pydantic 1", '[{"loc":["body","max_tokens"],"msg":"ensure this value is less than or equal to 2048"}]', 2048),
    ("watsonx", "max_new_tokens must be <= 4096", 4096),
    ("Fireworks", "max_tokens cannot exceed 4096", 4096),
    ("AI21", "max_tokens must be at most 4096", 4096),
    ("a gateway", "max_tokens must not be greater than 8192", 8192),
    ("a gateway", "max_tokens must be less than 8193", 8192),
    ("a gateway", "max_tokens must be less than or equal to the model's output limit (8192)", 8192),
    ("a gateway", "Requested max_tokens of 64000 exceeds the model output limit of 16000", 16000),
    ("a gateway", "The requested max_tokens (64000) exceed the maximum output length (8192) of the model", 8192),
    ("MiniMax", "invalid params, max_tokens exceeds limit, max_tokens: 192000, limit: 13107", 13107),
    ("PPIO", "max_tokens (current value: 4096) must be between 0 and 4000 ", 4000),
    ("a gateway", "max_tokens should be between 1 and 8192", 8192),
    ("a gateway", "The maximum number of output tokens for this-model is 8192", 8192),
    ("a gateway", "This model supports up to 8192 output tokens", 8192),
    ("llama-cpp-python", "max_tokens exceeds the maximum of 2048", 2048),
]


@pytest.mark.parametrize(("server", "message", "limit"), LIMITS)
@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("stream", [False, True])
def test_what_the_server_accepts_is_asked_for(
    correct: Callable[..., Any], server: str, message: str, limit: int, status: int, stream: bool
) -> None:
    sent = correct(wrapped(message, server), status, max_tokens=32000, stream=stream)
    assert sent.body["max_tokens"] == limit
    assert correct(wrapped(message, server), status, max_tokens=100).body["max_tokens"] == 100


@pytest.mark.parametrize(
    "message",
    [
        "Requests with max_tokens > 4096 must have stream=true",
        "Error: Requests with max_tokens > 4096 must have stream = true.",
        "requests with max_tokens > 4096 must have Stream=True",
        "Bad request: Requests with max_tokens > 4096 must have stream=true (request id 7)",
    ],
)
def test_a_limit_for_what_is_not_streamed_is_no_limit_for_streams(correct: Callable[..., Any], message: str) -> None:
    assert correct(message, max_tokens=32000).body["max_tokens"] == 4096
    assert correct(message, max_tokens=32000, stream=True).body["max_tokens"] == 32000


WINDOWS = [
    (
        "SGLang",
        "Requested token count exceeds the model's maximum context length of 32768 tokens. You requested a total of "
        "33000 tokens: 1000 tokens from the input messages and 32000 tokens for the completion. Please "
        "reduce the number of "
        "tokens in the input messages or the completion to fit within the limit.",
    ),
    (
        "TGI",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 32768. Given: 1000 `inputs` tokens and "
        "32000 `max_new_tokens`",
    ),
    (
        "Anthropic",
        "input length and `max_tokens` exceed context limit: 1000 + 32000 > 32768, decrease input length or "
        "`max_tokens` and try again",
    ),
    (
        "vLLM",
        "'max_tokens' or 'max_completion_tokens' is too large: 32000. This model's maximum context length is 32768 "
        "tokens and your request has 1000 input tokens (32000 > 32768 - 1000).",
    ),
    (
        "OpenAI",
        "This model's maximum context length is 32768 tokens. However, you requested 33000 tokens (1000 in the "
        "messages, 32000 in the completion). Please reduce the length of the messages or completion.",
    ),
]


@pytest.mark.parametrize(("server", "message"), WINDOWS)
def test_what_fits_beside_the_prompt_is_asked_for(translate: Any, server: str, message: str) -> None:
    from asgi_llmgate.protocol.servers.context_window import read_prompt_count
    from asgi_llmgate.protocol.servers.corrections.table import find_corrections

    [correction] = find_corrections(400, message)
    more = {"corrections": correction.changes, "prompt_count": read_prompt_count(message)}
    assert translate(more=more, max_tokens=32000).body["max_tokens"] == 31768


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens must be at least 16",
        "`max_tokens` must be greater than `thinking.budget_tokens`",
        "Rate limit reached: Limit 30000, Used 20000, Requested 32000 tokens per minute. Lower max_tokens.",
        "max_tokens: Field required",
        "max_tokens: Input should be a valid integer",
    ],
)
def test_what_states_no_limit_changes_nothing(correct: Callable[..., Any], message: str) -> None:
    assert correct(message, max_tokens=32000).body["max_tokens"] == 32000
