"""OpenAI's `finish_reason`: what the values of the different servers mean.

OpenAI has five (https://platform.openai.com/docs/api-reference/chat/object#chat-object-choices-finish_reason).  Servers
in front of other models pass their vendor's own on, in any case and spelling, and with words before them
(`function_call_filter: MALFORMED_FUNCTION_CALL`, litellm#16651).  So letters alone count, of what stands behind the
last colon or point.  The tables hold

- Gemini: https://ai.google.dev/api/generate-content#FinishReason
- Bedrock: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, `stopReason`
- Anthropic: https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
- Cohere: https://docs.cohere.com/reference/chat; Mistral: https://docs.mistral.ai/api
- watsonx: https://cloud.ibm.com/apidocs/watsonx-ai#text-chat, and `stop_reason` of its text generation
- vLLM: `vllm/v1/engine/__init__.py`; SGLang: `abort`; TGI: `eos_token`; Ollama: `done_reason`
- DeepSeek, Zhipu, MiniMax, Moonshot, xAI: their API references
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from asgi_llmgate.errors import Broken, Failed, Overloaded, UpstreamError
from asgi_llmgate.protocol.buffer_limit import MAX_METADATA

Ending: TypeAlias = Literal["stop", "length", "refusal"]
"""The model ended, with or without tool calls; a limit ended it; a content filter ended it."""

_STOP = (
    "stop", "stopped", "stop_sequence", "stop_token", "stop_str", "eos", "eos_token", "end_of_text", "end_of_sequence",
    "end_turn", "end", "complete", "completed", "finished", "done", "success", "normal", "tool_calls", "tool_call",
    "tool_use", "function_call", "pause_turn",
)  # fmt: skip
_LENGTH = (
    "length", "max_length", "max_tokens", "max_tokens_reached", "max_output_tokens", "max_completion_tokens",
    "max_new_tokens", "token_limit", "token_limit_reached", "length_limit", "time_limit",
    "model_length", "context_length", "context_length_exceeded", "model_context_window_exceeded", "error_limit",
    "repetition", "repetition_detected",
)  # fmt: skip
_REFUSAL = (
    "content_filter", "content_filtered", "filter", "filtered", "refusal", "refused", "safety", "recitation",
    "language", "blocklist", "blocked", "prohibited_content", "spii", "image_safety", "image_prohibited_content",
    "image_recitation", "model_armor", "guardrail_intervened", "guardrail", "guardrails", "error_toxic", "toxic",
    "moderation", "sensitive",
)  # fmt: skip
_FAILED = (
    "error", "internal_error", "server_error", "failed", "malformed_function_call", "unexpected_tool_call",
    "malformed_tool_call", "malformed_tool_use", "malformed_model_output", "malformed_response",
    "too_many_tool_calls", "missing_thought_signature", "no_image", "image_other",
)  # fmt: skip
_BROKEN = (
    "abort", "aborted", "cancel", "cancelled", "canceled", "user_cancel", "interrupted", "not_finished", "timeout",
    "network_error", "disconnected",
)  # fmt: skip
_OVERLOADED = ("insufficient_system_resource", "overloaded", "engine_overloaded")

_WORDS_BEFORE = re.compile(r".*[:.]", re.DOTALL)
_NO_LETTERS = re.compile(r"[^a-z]+")


def _letters(finish_reason: str) -> str:
    reason = finish_reason[:MAX_METADATA].lower()
    return _NO_LETTERS.sub("", _WORDS_BEFORE.sub("", reason)) or _NO_LETTERS.sub("", reason)


def _rows(meaning: Any, *names: str) -> dict[str, Any]:
    # Under the usual spelling too: then its letters need not be found out.
    return {spelling: meaning for name in names for spelling in (name, _letters(name))}


_ENDINGS: Mapping[str, Ending] = MappingProxyType(
    _rows("stop", *_STOP) | _rows("length", *_LENGTH) | _rows("refusal", *_REFUSAL)
)
_FAILURES: Mapping[str, tuple[type[UpstreamError], str]] = MappingProxyType(
    _rows((Failed, "the model server failed while it generated"), *_FAILED)
    | _rows((Broken, "the model server stopped before the response was complete"), *_BROKEN)
    | _rows((Overloaded, "the model server is overloaded"), *_OVERLOADED)
)


def ending(finish_reason: str) -> Ending | None:
    """How the model ended; None for a reason that is not known, such as Gemini's `OTHER`, and for none."""
    return _ENDINGS.get(finish_reason) or _ENDINGS.get(_letters(finish_reason))


def failure(finish_reason: str) -> UpstreamError | None:
    """The error that a finish reason reports, if it reports one."""
    if finish_reason in _ENDINGS:
        return None
    found = _FAILURES.get(_letters(finish_reason))
    return found[0](found[1]) if found else None


def matched_stop(candidates: tuple[Any, ...], stop_sequences: tuple[str, ...]) -> str | None:
    """The stop sequence of the client that the server reports as matched.  A number there is the id of a token."""
    return next((found for found in candidates if isinstance(found, str) and found in stop_sequences), None)
