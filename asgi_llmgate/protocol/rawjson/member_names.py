"""Names of members that servers may read in a request, and names that belong to the caller.

`members` checks the bodies that are forwarded as they came against these names.  A server with request fields of its
own needs an entry here only if the gateway's decisions could depend on them: a model, a limit, content, tools.
"""

from __future__ import annotations

CALLER_MAPS = frozenset(
    {"arguments", "input", "input_schema", "parameters", "schema", "properties", "patternProperties", "$defs", "env"}
    | {"definitions", "dependentSchemas", "headers", "variables", "logit_bias", "chat_template_kwargs", "guided_json"}
    | {"mm_processor_kwargs", "vllm_xargs"}  # vLLM
)
"""Members whose value is a map, or a tree of maps, with names that the caller chooses: tool inputs, JSON schemas."""

PROTOCOL_AT_TOP = frozenset({"input", "parameters"})
"""Of CALLER_MAPS those that mean something else beside `model`: the conversation (OpenAI's Responses API), and limits
(Hugging Face)."""

PROTOCOL = frozenset(
    # the request
    {"model", "models", "stream", "messages", "system", "prompt", "input", "inputs", "suffix", "tools", "tool_choice"}
    | {"functions", "function_call", "stream_options", "metadata", "temperature", "top_p", "top_k", "n", "best_of"}
    | {"max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "max_tokens_to_sample"}
    | {"max_length", "n_predict", "num_predict", "min_tokens", "options", "parameters", "stop", "stop_sequences"}
    | {"response_format", "output_config", "output_format", "format", "reasoning", "reasoning_effort", "service_tier"}
    | {"fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "generation_config", "extra_body"}
    | {"parallel_tool_calls", "context_management", "container", "mcp_servers", "thread", "safeguards", "speed"}
    | {"user", "thinking"}
    # messages and their content
    | {"role", "content", "type", "text", "id", "name", "tool_calls", "tool_call_id", "tool_use_id", "is_error"}
    | {"images", "image", "input_image", "source", "data", "media_type", "url", "file_id", "image_url", "input_audio"}
    | {"file", "file_data", "detail"}
    | {"cache_control", "citations", "title", "context", "signature", "refusal", "thinking", "clear_at", "call_id"}
    # tools
    | {"function", "description", "input_schema", "strict", "defer_loading", "arguments", "tool", "tool_name"}
    | {"definition", "tool_changes", "tool_references", "disable_parallel_tool_use", "allowed_tools", "mode"}
    # members of `stream_options`, `thinking`, `output_config`, `response_format`, `cache_control`, `metadata`
    | {"include_usage", "budget_tokens", "display", "effort", "json_schema", "schema", "ttl", "user_id"}
)
"""Names that a server, or the gateway's decision before it, may read.  Most requests hold no others, and then nothing
has to be compared."""

OTHER_MODELS = ("models", "fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
"""Members that name further models.  OpenRouter: https://openrouter.ai/docs/guides/routing/model-fallbacks; Anthropic:
https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback; LiteLLM:
https://docs.litellm.ai/docs/proxy/reliability."""
