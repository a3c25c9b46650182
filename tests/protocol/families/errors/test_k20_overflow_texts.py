"""A conversation that does not fit makes Claude Code compact, in whatever words and with whatever status a server says
so; nothing else does."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from asgi_llmgate.errors import PromptTooLong, UpstreamError, row_for
from asgi_llmgate.protocol.servers.errors.upstream_errors import upstream_error
from tests.protocol.responses import chunk, completion, sse, streamed, whole

COMPACTS = re.compile(r"prompt is too long: (\d+) tokens > (\d+) maximum")
ASKS_FOR_LESS = re.compile(r"input length and `max_tokens` exceed context limit: (\d+) \+ (\d+) > (\d+)")
UNNUMBERED = "prompt is too long (capability_rejected: prompt_too_long): "


def error(status: int, body: Any) -> UpstreamError:
    return upstream_error(status, json.dumps(body).encode(), {})


def openai(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


WITH_NUMBERS = {
    "LM Studio": (
        "The number of tokens to keep from the initial prompt is greater than the context length "
        "(n_keep: 9001>= n_ctx: 8192). Try to load the model with a larger context length, or provide a shorter input.",
        (9001, 8192),
    ),
    "LM Studio, 0.4": ("Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)", (15028, 7424)),
    "LM Studio, an early one": ("Input length 6491 exceeds context length 1500", (6491, 1500)),
    "TensorRT-LLM": ("Prompt length (9001) exceeds maximum sequence length (8192)", (9001, 8192)),
    "TensorRT-LLM, input": ("Prompt length (9001) exceeds maximum input length (8192).", (9001, 8192)),
    "TensorRT-LLM, PyTorch": (
        "The sum of prompt length (72417.0), query length (0) should not exceed max_num_tokens (69632)",
        (72417, 69632),
    ),
    "Cohere": (
        "too many tokens: total number of tokens in the prompt cannot exceed 4096 - received 5001. Try using a shorter "
        "prompt.",
        (5001, 4096),
    ),
    "TGI": ("Input validation error: `inputs` must have less than 1024 tokens. Given: 1168", (1168, 1024)),
    "watsonx": (
        "Invalid input argument for Model 'ibm/granite': the number of input tokens 5230 cannot exceed the total "
        "tokens limit 4096 for this model",
        (5230, 4096),
    ),
    "Copilot": ("prompt token count of 168929 exceeds the limit of 168000", (168929, 168000)),
    "SGLang": (
        "The input (516368 tokens) is longer than the model's context length (262144 tokens).",
        (516368, 262144),
    ),
    "SGLang, allowed": (
        "Input length (9001 tokens) exceeds the maximum allowed length (8185 tokens). Use a shorter input or enable "
        "--allow-auto-truncate.",
        (9001, 8185),
    ),
    "xAI": (
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        (537812, 131072),
    ),
    "Mistral": (
        "Prompt contains 40001 tokens and 0 images, too large for model with 32768 maximum context length",
        (40001, 32768),
    ),
    "Gemini": (
        "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).",
        (1196265, 1048575),
    ),
    "Vertex": (
        "Unable to submit request because the input token count is 40001 but model only supports up to 32768. Reduce "
        "the input token count and try again.",
        (40001, 32768),
    ),
    "Moonshot": (
        "Invalid request: Your request exceeded model token limit: 262144 (requested: 300000)",
        (300000, 262144),
    ),
    "Bedrock": (
        "prompt tokens (330095) exceed model maximum (278528) for base model abc",
        (330095, 278528),
    ),
    "Fireworks": ("The prompt is too long: 150001, model maximum context length: 131071", (150001, 131071)),
    "Volcengine": ("Input length 203743 exceeds the maximum length 202752. Request id: 0217", (203743, 202752)),
    "Poolside": (
        "Provider returned error: Input length 131393 exceeds the maximum allowed input length of 131040 tokens.",
        (131393, 131040),
    ),
    "DeepInfra": ("Requested input length 70001 exceeds maximum input length 65536", (70001, 65536)),
    "SiliconFlow": ("length of prompt_tokens (57535) must be less than max_seq_len (32768).", (57535, 32768)),
    "SiliconFlow, with the output": (
        "max_total_tokens (33802) must be less than or equal to max_seq_len (32768)",
        (33802, 32768),
    ),
    "Cloudflare": (
        "AiError: The estimated number of input and maximum output tokens (9000) exceeded this model context window "
        "limit (8000).",
        (9000, 8000),
    ),
    "Cerebras": (
        "Please reduce the length of the messages or completion. Current length is 42328 while limit is 40000",
        (42328, 40000),
    ),
    "llama-cpp-python": ("Requested tokens (5001) exceed context window of 4096", (5001, 4096)),
    "ds4": ("Prompt has 5,958,968 tokens, but the configured context size is 256,000 tokens", (5958968, 256000)),
    "ds4, an early one": ("Prompt tokens (5001) exceeds context size (4096)", (5001, 4096)),
    "Foundry Local": (
        "input_ids size (3216) + current sequence length (0) exceeds max length (2048)",
        (3216, 2048),
    ),
    "vLLM, engine": (
        "The engine prompt length 9001 exceeds the max_model_len 8192. Please reduce prompt.",
        (9001, 8192),
    ),
    "vLLM, scheduler": ("Input prompt (9001 tokens) is too long and exceeds limit of 8192", (9001, 8192)),
    "in no list": (
        "The messages of this call hold 90001 tokens, which is more than the 65536 that this deployment takes.",
        (90001, 65536),
    ),
}


@pytest.mark.parametrize("name", WITH_NUMBERS)
@pytest.mark.parametrize("status", [400, 413, 422, 500, 503])
def test_numbers_become_the_ones_that_the_client_reads(name: str, status: int) -> None:
    text, (prompt, limit) = WITH_NUMBERS[name]
    for body in (openai(text), {"object": "error", "message": text, "code": status}, {"error": text}, [openai(text)]):
        found = error(status, body)
        assert isinstance(found, PromptTooLong)
        assert found.client_message == f"prompt is too long: {prompt} tokens > {limit} maximum"
        assert found.message == found.client_message
        assert row_for(found).status == 400


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_so_does_an_error_in_a_stream(name: str) -> None:
    text, (prompt, limit) = WITH_NUMBERS[name]
    data = sse({"error": {"message": text, "code": 400}})
    for told in (streamed(data), streamed([data[place : place + 1] for place in range(len(data))])):
        assert told.error == {
            "type": "invalid_request_error",
            "message": f"prompt is too long: {prompt} tokens > {limit} maximum",
        }


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "Requested token count exceeds the model's maximum context length of 32768 tokens. You requested a total "
            "of 33001 tokens: 1001 tokens from the input messages and 32000 tokens for the completion.",
            ("1001", "32000", "32768"),
        ),
        (
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 3000 `inputs` tokens "
            "and 2000 `max_new_tokens`",
            ("3000", "2000", "4096"),
        ),
        (
            "input length and `max_tokens` exceed context limit: 86888 + 119866 > 204648, decrease input length or "
            "`max_tokens` and try again",
            ("86888", "119866", "204648"),
        ),
    ],
    ids=["SGLang", "TGI", "Anthropic"],
)
def test_prompt_and_output_together(text: str, parts: tuple[str, ...]) -> None:
    found = error(400, openai(text))
    assert isinstance(found, PromptTooLong)
    together = ASKS_FOR_LESS.fullmatch(found.client_message)
    assert together is not None
    assert together.groups() == parts


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            openai("Request body too large for gpt-4o model. Max size: 8000 tokens.", code="tokens_limit_reached"),
            id="GitHub Models",
        ),
        pytest.param({"error": {"code": "1261", "message": "Prompt exceeds max length"}}, id="Zhipu"),
        pytest.param({"error": {"code": "1261", "message": "Prompt 超长"}}, id="Zhipu, in Chinese"),
        pytest.param({"message": "Input is too long for requested model."}, id="Bedrock"),
        pytest.param(
            {"code": "InvalidParameter", "message": "Range of input length should be [1, 30720]"}, id="DashScope"
        ),
        pytest.param(
            {"base_resp": {"status_code": 2013, "status_msg": "invalid params, context window exceeds limit"}},
            id="MiniMax",
        ),
        pytest.param(openai("Input token length too long"), id="Moonshot"),
        pytest.param(
            openai("Invalid request: Your request exceeded model token limit: 262144"), id="Moonshot, the limit only"
        ),
        pytest.param({"error": "Context size has been exceeded."}, id="llama.cpp, in the middle"),
        pytest.param({"error": "prompt too long; exceeded max context length by 100918 tokens"}, id="Ollama"),
        pytest.param({"message": "too many tokens: size limit exceeded by 10001 tokens."}, id="Cohere"),
        pytest.param(openai("litellm.ContextWindowExceededError: no"), id="LiteLLM"),
        pytest.param({"error": {"message": "Input exceeds the max input token limit"}}, id="AWS"),
        pytest.param({"code": "tokens_too_long", "message": "Prompt tokens too long"}, id="UCloud"),
        pytest.param(openai("Total tokens of image and text exceed max message tokens"), id="Volcengine"),
        pytest.param({"code": 11115, "msg": "input length too long"}, id="a number of its own"),
    ],
)
@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_without_two_numbers_the_token_says_it(body: Any, status: int) -> None:
    found = error(status, body)
    assert isinstance(found, PromptTooLong)
    assert found.client_message.startswith(UNNUMBERED)
    assert row_for(found).anthropic == "invalid_request_error"


@pytest.mark.parametrize(
    "text",
    [
        "Invalid 'messages[11].tool_calls[0].id': string too long. Expected a string with maximum length 40, but got a "
        "string with length 46 instead.",
        "Invalid 'tools[0].function.description': string too long. Expected a string with maximum length 1024, but got "
        "a string with length 5000 instead.",
        "max_tokens is too large: 128000. This model supports at most 16384 completion tokens.",
        "max_tokens (10000) cannot exceed 8192. Please reduce the length of max output tokens generated.",
        "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 129.",
        "File size 52428800 exceeds the maximum of 33554432 bytes.",
        "At most 4 image(s) may be provided in one prompt.",
        "image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes",
        "Image dimensions exceed max allowed size: 8000 pixels",
        "Input is too long for field 'user'",
        "`max_completion_tokens` must be less than or equal to `32768`",
        "Requests with max_tokens > 4096 must have stream=true",
        "Too many tokens, please wait before trying again.",
        "The maximum tokens you requested exceeds the model limit of 5120. Try again with a maximum tokens value that "
        "is lower than 5120.",
    ],
)
@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_refusal_of_something_else_does_not_compact(text: str, status: int) -> None:
    found = error(status, openai(text))
    assert not isinstance(found, PromptTooLong)
    assert "prompt is too long" not in found.client_message


USAGE = {"prompt_tokens": 32768, "completion_tokens": 0, "total_tokens": 32768}


def test_a_window_that_is_full_before_the_first_token_makes_the_client_compact() -> None:
    with pytest.raises(PromptTooLong) as caught:
        whole(completion("length", USAGE, content=""))
    assert caught.value.client_message.startswith(UNNUMBERED)
    told = streamed(sse(chunk(content=""), chunk(finish="length"), {**chunk(), "choices": [], "usage": USAGE}))
    assert told.error["message"] == caught.value.client_message


@pytest.mark.parametrize(
    ("finish", "usage", "content"),
    [
        ("length", {**USAGE, "completion_tokens": 64}, ""),
        ("length", None, ""),
        ("length", USAGE, "Hi"),
        ("stop", USAGE, ""),
    ],
    ids=["hidden reasoning", "no counts", "a text", "nothing to say"],
)
def test_a_response_that_is_empty_for_another_reason_does_not(finish: str, usage: Any, content: str) -> None:
    assert whole(completion(finish, usage, content=content)).message["type"] == "message"


def test_words_that_the_server_quotes_do_not_compact() -> None:
    quoted = "the prompt is too long, it exceeds the context window"
    body = {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user'", "input": quoted}]}
    assert "too long" not in error(422, body).client_message


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (
            413,
            "Request too large for model `llama-3.3-70b-versatile` in organization `org_01` service tier `on_demand` "
            "on tokens per minute (TPM): Limit 12000, Requested 14137, please reduce your message size and try again.",
        ),
        (
            429,
            "Request too large for gpt-4o in organization org-a on tokens per min (TPM): Limit 12,000, Requested "
            "14,137. The input or output tokens must be reduced in order to run successfully.",
        ),
    ],
    ids=["Groq", "OpenAI"],
)
def test_a_request_over_the_limit_of_a_minute_fits_after_compaction_only(status: int, text: str) -> None:
    found = error(status, openai(text, type="tokens", code="rate_limit_exceeded"))
    assert isinstance(found, PromptTooLong)
    assert found.client_message == "prompt is too long: 14137 tokens > 12000 maximum"
