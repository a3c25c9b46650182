from __future__ import annotations

import re

import pytest

from asgi_llmgate.protocol.servers.errors.actionable import capability_token, overflow_message

COMPACTS = re.compile(r"prompt is too long[^0-9]*(\d+)\s*tokens?\s*>\s*(\d+)", re.IGNORECASE)
"""How Claude Code finds the numbers."""
ASKS_FOR_LESS = re.compile(r"input length and `max_tokens` exceed context limit: (\d+) \+ (\d+) > (\d+)")

TOO_LONG = "prompt is too long: {} tokens > {} maximum".format
TOO_MUCH = "input length and `max_tokens` exceed context limit: {} + {} > {}".format


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 131100 tokens. "
            "Please reduce the length of the messages.",
            TOO_LONG(131100, 128000),
            id="OpenAI",
        ),
        pytest.param(
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 131100 tokens "
            "(130000 in the messages, 1100 in the functions).",
            TOO_LONG(131100, 128000),
            id="OpenAI, functions",
        ),
        pytest.param(
            "This model's maximum context length is 4097 tokens. However, you requested 4500 tokens (400 in the "
            "messages, "
            "100 in the functions, and 4000 in the completion).",
            TOO_MUCH(500, 4000, 4097),
            id="OpenAI, in parts",
        ),
        pytest.param(
            "Input tokens exceed the configured limit of 272,000 tokens. Your messages resulted in 300,000 tokens. "
            "Please reduce the length of the messages.",
            TOO_LONG(300000, 272000),
            id="OpenAI, with commas",
        ),
        pytest.param(
            "This model's maximum context length is 8192 tokens, however you requested 8700 tokens (700 in your "
            "prompt; "
            "8000 for the completion). Please reduce your prompt; or completion length.",
            TOO_MUCH(700, 8000, 8192),
            id="Azure",
        ),
        pytest.param(
            "This model's maximum context length is 65536 tokens. However, you requested 80000 tokens (72000 in the "
            "messages, 8000 in the completion).",
            TOO_LONG(72000, 65536),
            id="DeepSeek, prompt alone",
        ),
        pytest.param(
            "This model's maximum context length is 40960 tokens. However, you requested 45000 tokens (40000 in the "
            "messages, 5000 in the completion).",
            TOO_MUCH(40000, 5000, 40960),
            id="vLLM, in parts",
        ),
        pytest.param(
            "This model's maximum context length is 32768 tokens. However, you requested 32000 output tokens and "
            "your prompt "
            "contains at least 769 input tokens, for a total of at least 32769 tokens. Please reduce the length of the "
            "input prompt or the number of requested output tokens.",
            TOO_MUCH(769, 32000, 32768),
            id="vLLM, at least",
        ),
        pytest.param(
            "This model's maximum context length is 32768 tokens. However, you requested 0 output tokens and your "
            "prompt "
            "contains at least 32769 input tokens, for a total of at least 32769 tokens.",
            TOO_LONG(32769, 32768),
            id="vLLM, no output",
        ),
        pytest.param(
            "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context length is "
            "4096 tokens "
            "and your request has 1000 input tokens (8192 > 4096 - 1000).",
            TOO_MUCH(1000, 8192, 4096),
            id="vLLM, too large",
        ),
        pytest.param(
            "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens. "
            "Please reduce "
            "the length of the input messages.",
            TOO_LONG(5000, 4096),
            id="vLLM, input",
        ),
        pytest.param(
            "You passed 31745 input tokens and requested 1024 output tokens. However, the model's context length "
            "is only "
            "32768 tokens, resulting in a maximum input length of 31744 tokens.",
            TOO_LONG(31745, 31744),
            id="vLLM, passed",
        ),
        pytest.param(
            "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
            TOO_LONG(5000, 4096),
            id="vLLM, engine",
        ),
        pytest.param(
            "The prompt (total length 25938) is too long to fit into the model (context length 4096).",
            TOO_LONG(25938, 4096),
            id="vLLM, multimodal",
        ),
        pytest.param(
            "The input (516368 tokens) is longer than the model's context length (262144 tokens).",
            TOO_LONG(516368, 262144),
            id="SGLang",
        ),
        pytest.param(
            "Requested token count exceeds the model's maximum context length of 64000 tokens. You requested a "
            "total of "
            "71897 tokens: 7897 tokens from the input messages and 64000 tokens for the completion.",
            TOO_MUCH(7897, 64000, 64000),
            id="SGLang, total",
        ),
        pytest.param(
            "Input length (265330) exceeds model's maximum context length (262144).",
            TOO_LONG(265330, 262144),
            id="SGLang, input length",
        ),
        pytest.param(
            "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
            TOO_LONG(5000, 4096),
            id="llama.cpp",
        ),
        pytest.param(
            "This endpoint's maximum context length is 32768 tokens. However, you requested about 37623 tokens "
            "(21239 of "
            "text input, 16384 in the output). Please reduce the length of either one.",
            TOO_MUCH(21239, 16384, 32768),
            id="OpenRouter",
        ),
        pytest.param(
            "This endpoint's maximum context length is 65536 tokens. However, you requested about 65810 tokens "
            "(1430 of text "
            "input, 380 of tool input, 64000 in the output).",
            TOO_MUCH(1810, 64000, 65536),
            id="OpenRouter, tools",
        ),
        pytest.param(
            "This endpoint's maximum context length is 65536 tokens. However, you requested about 118420 tokens.",
            TOO_LONG(118420, 65536),
            id="a sum alone",
        ),
        pytest.param(
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` "
            "tokens and "
            "1000 `max_new_tokens`",
            TOO_LONG(4000, 3096),
            id="TGI",
        ),
        pytest.param(
            "Prompt contains 300000 tokens and 0 images too large for model with 262144 maximum context length",
            TOO_LONG(300000, 262144),
            id="Mistral",
        ),
        pytest.param(
            "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).",
            TOO_LONG(1196265, 1048575),
            id="Gemini",
        ),
        pytest.param(
            "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
            TOO_LONG(537812, 131072),
            id="xAI",
        ),
        pytest.param(
            "Invalid request: Your request exceeded model token limit: 262144 (requested: 300000)",
            TOO_LONG(300000, 262144),
            id="Moonshot",
        ),
        pytest.param(
            "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with "
            "context "
            "length of only 4096 tokens, which is not enough.",
            TOO_LONG(5000, 4096),
            id="LM Studio",
        ),
        pytest.param("prompt is too long: 9 tokens > 8 maximum", TOO_LONG(9, 8), id="Anthropic"),
        pytest.param(TOO_MUCH(5000, 6000, 10000), TOO_MUCH(5000, 6000, 10000), id="Anthropic, both"),
        pytest.param(TOO_MUCH(9500, 1000, 10000), TOO_LONG(9500, 9000), id="no less can be asked for"),
    ],
)
def test_each_servers_numbers_are_said_in_the_words_that_the_client_knows(text: str, message: str) -> None:
    assert overflow_message(text) == message
    assert COMPACTS.search(message) or ASKS_FOR_LESS.search(message)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("prompt too long; exceeded max context length by 4 tokens", ""),
        ("the input length exceeds the context length", ""),
        ("Your input exceeds the context window of this model.", ""),
        ("the request exceeds the available context size, try increasing it", "exceed_context_size_error"),
        ("Please reduce the length of the messages or completion.", "context_length_exceeded"),
        ("Range of input length should be [1, 30720]", ""),
        ("Input is too long for requested model.", ""),
        ("Provider returned error", "400 context_length_exceeded"),
        ("maximum context length is 10 tokens and has 5 input tokens", ""),
    ],
    ids=["Ollama", "Ollama, old", "OpenAI", "llama.cpp", "Groq", "Qwen", "Bedrock", "code alone", "numbers that fit"],
)
def test_an_overflow_without_numbers_still_makes_the_client_compact(text: str, codes: str) -> None:
    message = overflow_message(text, codes)
    assert message is not None
    assert message.startswith("prompt is too long (capability_rejected: prompt_too_long): ")
    assert message.endswith(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Invalid type for 'messages[0].content'",
        "max_tokens is too large: 128000. This model supports at most 16384 completion tokens.",
        "string too long. expected a string with maximum length 64, but the prompt is too long",
        "Rate limit reached: 30000 tokens per min",
    ],
)
def test_other_refusals_are_no_overflow(text: str) -> None:
    assert overflow_message(text) is None


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("Invalid content type. image_url is only supported by certain models.", "image_block"),
        ("messages[1]: unknown variant `image_url`, expected `text` at line 1 column 7", "image_block"),
        ("No endpoints found that support image input", "image_block"),
        ("At most 0 image(s) may be provided in one prompt.", "image_block"),
        (
            "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
            "image_block",
        ),
        ("qwen3 is not a multimodal model", "image_block"),
        ("Unknown part type: image_url", "image_block"),
        ("this model is missing data required for image input", "image_block"),
        ("At most 1 image(s) may be provided in one prompt.", "media_budget"),
        ("Too many images in request: 120 > 100", "media_budget"),
        ("unknown variant `file`, expected `text`", "document_block"),
        ("File input is not supported for this model", "document_block"),
        ("System message must be at the beginning.", "mid_conv_system"),
        ("Conversation roles must alternate user/assistant/user/assistant", "mid_conv_system"),
        ("This response_format type is unavailable now", "structured_outputs_unsupported"),
        (
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported",
            "structured_outputs_unsupported",
        ),
        ("Unsupported value: 'reasoning_effort' does not support 'minimal' with this model.", "effort_unsupported"),
        ("Function tools with reasoning_effort are not supported for gpt-5.5", "effort_unsupported"),
        ("Unrecognized request argument supplied: reasoning_effort", "effort_unsupported"),
        ("Invalid type for 'messages[0].content'", None),
        ("", None),
    ],
)
def test_the_token_of_a_feature_that_is_refused(text: str, token: str | None) -> None:
    assert capability_token(text) == token
