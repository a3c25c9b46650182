"""Refusals that teach, in the words of the servers that say so, and the dialect of a server that is told of it."""

from __future__ import annotations

import json
from typing import NamedTuple


class Refusal(NamedTuple):
    """`message` is the sentence, `body` the whole answer where that is more than OpenAI's envelope around it."""

    message: str
    dialect: str = "openai"
    status: int = 400
    body: str = ""
    model: str = "gpt-4o"

    @property
    def content(self) -> bytes:
        return (self.body or json.dumps({"error": {"message": self.message, "type": "invalid_request_error"}})).encode()


def _pydantic(field: str) -> str:
    error = {"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not permitted", "input": True}
    return json.dumps({"object": "error", "detail": [error], "code": 3001})


_REASONING = "gpt-5"
REFUSALS: dict[str, Refusal] = {
    "OpenAI, an argument": Refusal("Unrecognized request argument supplied: stream_options"),
    "OpenAI, a parameter": Refusal("Unknown parameter: 'stream_options'."),
    "OpenAI, with this model": Refusal(
        "Unsupported parameter: 'parallel_tool_calls' is not supported with this model."
    ),
    "OpenAI, temperature": Refusal(
        "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is "
        "supported."
    ),
    "OpenAI, top_p": Refusal("Unsupported parameter: 'top_p' is not supported with this model."),
    "OpenAI, stop": Refusal("Unsupported parameter: 'stop' is not supported with this model."),
    "OpenAI, no effort": Refusal(
        "Unsupported value: 'reasoning_effort' does not support 'medium' with this model.", model=_REASONING
    ),
    "OpenAI, which efforts": Refusal(
        "Unsupported value: 'reasoning_effort' does not support 'xhigh' with this model. Supported values are: 'low' "
        "and 'medium'.",
        model=_REASONING,
    ),
    "OpenAI, the other field": Refusal(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    ),
    "OpenAI, output": Refusal(
        "max_tokens is too large: 128000. This model supports at most 16384 completion tokens, whereas you provided "
        "128000."
    ),
    "OpenAI, window": Refusal(
        "This model's maximum context length is 32768 tokens. However, you requested 129000 tokens (1000 in the "
        "messages, 128000 in the completion). Please reduce the length of the messages or completion."
    ),
    "OpenAI, images": Refusal("Invalid content type. image_url is only supported by certain models."),
    "OpenAI, files": Refusal("Invalid value: 'file'. Supported values are: 'text', 'image_url' and 'input_audio'."),
    "OpenAI, file types": Refusal("This model does not support file content types."),
    "OpenAI, schema": Refusal(
        "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
    ),
    "Azure, prompt cache": Refusal("Unknown parameter: 'prompt_cache_key'.", "azure"),
    "Anthropic's, output": Refusal("max_tokens: 128000 > 8192, which is the maximum allowed number of output tokens"),
    "vLLM, effort": Refusal(
        "[{'type': 'literal_error', 'loc': ('body', 'reasoning_effort'), 'msg': \"Input should be 'low', 'medium' or "
        "'high'\", 'input': 'xhigh'}]",
        "vllm",
    ),
    "vLLM, template": Refusal("chat_template is not supported for Mistral tokenizers.", "llamacpp"),
    "vLLM, images": Refusal("openai/gpt-oss-20b is not a multimodal model", "vllm"),
    "vLLM, no image": Refusal("At most 0 image(s) may be provided in one prompt.", "vllm"),
    "vLLM, one image": Refusal("At most 1 image(s) may be provided in one prompt.", "vllm"),
    "vLLM, files": Refusal("Unknown part type: file"),
    "vLLM, window": Refusal(
        "'max_tokens' or 'max_completion_tokens' is too large: 128000. This model's maximum context length is 32768 "
        "tokens and your request has 1000 input tokens (128000 > 32768 - 1000).",
        "vllm",
    ),
    "vLLM, newer window": Refusal(
        "You passed 1000 input tokens and requested 128000 output tokens. However, the model's context length is only "
        "32768 tokens.",
        "vllm",
    ),
    "SGLang, window": Refusal(
        "Requested token count exceeds the model's maximum context length of 32768 tokens. You requested a total of "
        "129000 tokens: 1000 tokens from the input messages and 128000 tokens for the completion.",
    ),
    "TGI, window": Refusal(
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 32768. Given: 1000 `inputs` tokens and "
        "128000 `max_new_tokens`",
        status=422,
    ),
    "Cloudflare, window": Refusal(
        "AiError: The estimated number of input and maximum output tokens (129000) exceeded this model context window "
        "limit (32000)."
    ),
    "Groq, tokens of a minute": Refusal(
        "Request too large for model `llama-3.3-70b-versatile` on tokens per minute (TPM): Limit 30000, Requested "
        "129000, please reduce your message size and try again.",
        status=413,
    ),
    "OpenAI, tokens of a minute": Refusal(
        "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 129000. The input or output "
        "tokens must be reduced in order to run successfully.",
        status=429,
    ),
    "DeepInfra, window": Refusal(
        "max_tokens=128000 cannot be greater than max_model_len=max_total_tokens=28672. Please request fewer output "
        "tokens. (parameter=max_tokens, value=128000)"
    ),
    "Cerebras, keywords of schemas": Refusal("Unsupported JSON schema fields: {'additionalProperties', 'minItems'}"),
    "Groq, a schema": Refusal("invalid JSON schema for tool Read, tools[0].function.parameters: /properties/a: no"),
    "Gemini, a schema": Refusal(
        'Invalid JSON payload received. Unknown name "additionalProperties" at \'tools[0].function_declarations[0].'
        "parameters': Cannot find field."
    ),
    "Claude's, a schema": Refusal("tools.0.custom.input_schema: JSON schema is invalid."),
    "a server, a keyword": Refusal('JSON schema keyword "additionalProperties" is not supported'),
    "OpenAI, strict": Refusal("Invalid schema for response_format 'answer': In context=(), 'title' is not permitted."),
    "vLLM's template, system": Refusal("System message must be at the beginning.", "openai"),
    "Mistral's template": Refusal(
        "After the optional system message, conversation roles must alternate user/assistant/user/assistant/...",
        "llamacpp",
        500,
    ),
    "llama.cpp, images": Refusal(
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
        "llamacpp",
        500,
    ),
    "Ollama, images": Refusal(
        "this model does not support image input (ref: b8bd)",
        "ollama",
        400,
        '{"error":"this model does not support image input (ref: b8bd)"}',
    ),
    "Ollama, older": Refusal("this model is missing data required for image input", "ollama"),
    "Ollama, thinking": Refusal('"qwen3-coder" does not support thinking', "ollama"),
    "OpenRouter, images": Refusal("No endpoints found that support image input", "openrouter", 404),
    "OpenRouter, reasoning": Refusal("Reasoning is mandatory for this endpoint and cannot be disabled.", "openrouter"),
    "OpenRouter, window": Refusal(
        "This endpoint's maximum context length is 65536 tokens. However, you requested about 150000 tokens (20000 of "
        "text input, 2000 of tool input, 128000 in the output).",
        "openrouter",
    ),
    "DeepSeek, images": Refusal(
        "Failed to deserialize the JSON body into the target type: messages[3]: unknown variant `image_url`, expected "
        "`text` at line 1 column 4711"
    ),
    "DeepSeek, output": Refusal("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),
    "DeepSeek, format": Refusal("This response_format type is unavailable now"),
    "Groq, options": Refusal("property 'stream_options' is unsupported, did you mean 'stream'?"),
    "Groq, output": Refusal(
        "`max_tokens` must be less than or equal to `32768`, the maximum value for `max_tokens` is less than the "
        "`context_window` for this model"
    ),
    "Groq, older": Refusal("max_tokens for `llama-3.1-8b-instant` must be less than or equal to 8000"),
    "Fireworks": Refusal("Extra inputs are not permitted, field: 'parallel_tool_calls'"),
    "Fireworks, output": Refusal("max_tokens cannot exceed 4096", "vllm"),
    "Gemini": Refusal('Invalid JSON payload received. Unknown name "parallel_tool_calls": Cannot find field.'),
    "Gemini, no parallel calls": Refusal("parallel_tool_calls is not supported."),
    "xAI": Refusal("Argument not supported: stream_options", body='{"error":"Argument not supported: stream_options"}'),
    "Mistral, a list": Refusal(
        "extra_forbidden body stream_options Extra inputs are not permitted",
        status=422,
        body=_pydantic("stream_options"),
    ),
    "Volcengine, output": Refusal(
        "The parameter `max_tokens` specified in the request are not valid: expected a value <= 12288, but got 128000"
    ),
    "LiteLLM": Refusal(
        "litellm.BadRequestError: MistralException - Unsupported parameter: top_k is not supported", "vllm"
    ),
    "Go": Refusal('json: unknown field "stream_options"', body='{"error":"json: unknown field \\"stream_options\\""}'),
    "Together": Refusal("Model does not support images. Use a vision model instead."),
    "Mistral, order": Refusal("Unexpected role 'user' after role 'tool'", "generic"),
    "Gemma's template": Refusal("System role not supported", "generic"),
    "llama.cpp, Devstral": Refusal(
        "After the optional system message, conversation roles must alternate user and assistant roles except for tool "
        "calls and results.",
        "llamacpp",
        500,
    ),
    "LM Studio, null": Refusal("Invalid 'content': 'content' field must be a string or an array of objects."),
    "Bedrock, empty": Refusal("messages: text content blocks must be non-empty"),
    "Groq, a list as content": Refusal(
        "'messages.0' : for 'role:user' the following must be satisfied[('messages.0.content' : value must be a "
        "string)]"
    ),
    "Moonshot, temperature": Refusal("invalid temperature: only 0.6 is allowed for this model", "generic"),
    "MiniMax, temperature": Refusal("invalid params, temperature: must be in (0.6, 1.0]", "generic"),
    "xAI, stop": Refusal("Argument not supported on this model: stop", "generic"),
    "pydantic, a word": Refusal(
        "extra_forbidden body stop Extra inputs are not permitted", status=422, body=_pydantic("stop")
    ),
    "Bedrock, output": Refusal("The maximum tokens you requested exceeds the model limit of 5120.", "generic"),
    "Vertex, output": Refusal(
        "Unable to submit request because it has a maxOutputTokens value of 32000 but the supported range is from 1 "
        "(inclusive) to 8193 (exclusive).",
        "generic",
    ),
    "Claude, one of two": Refusal("`temperature` and `top_p` cannot both be specified for this model.", "generic"),
    "NIM, images": Refusal("Received multimodal data but multimodal processing is not enabled.", "generic", 500),
}
