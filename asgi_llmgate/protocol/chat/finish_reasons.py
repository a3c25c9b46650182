"""OpenAI's `finish_reason`: what the values of the different servers mean.

https://platform.openai.com/docs/api-reference/chat/object#chat-object-choices-finish_reason
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from asgi_llmgate.errors import Broken, Failed, Overloaded, UpstreamError

Ending: TypeAlias = Literal["stop", "length", "refusal"]
"""The model ended, with or without tool calls; a limit of tokens ended it; a content filter ended it."""

ENDINGS: Mapping[str, Ending] = MappingProxyType(
    {
        "stop": "stop",
        "eos": "stop",
        "eos_token": "stop",
        "stop_sequence": "stop",
        "tool_calls": "stop",
        "function_call": "stop",
        "length": "length",
        "max_tokens": "length",
        "model_length": "length",  # Mistral: the context window was full
        "content_filter": "refusal",
        "sensitive": "refusal",  # Zhipu
    }
)

_FAILURES: Mapping[str, tuple[type[UpstreamError], str]] = MappingProxyType(
    {
        "error": (Failed, "the model server failed while it generated"),  # OpenRouter
        "abort": (Broken, "the model server stopped before the response was complete"),  # vLLM
        "network_error": (Broken, "the model server stopped before the response was complete"),  # Zhipu
        "insufficient_system_resource": (Overloaded, "the model server is overloaded"),  # DeepSeek
    }
)


def failure(finish_reason: str) -> UpstreamError | None:
    """The error that a finish reason reports, if it reports one."""
    found = _FAILURES.get(finish_reason)
    return found[0](found[1]) if found else None


def is_cut(finish_reason: str) -> bool:
    """Whether the server stopped the model: then an incomplete tool call is no mistake of the model."""
    return ENDINGS.get(finish_reason) in ("length", "refusal")


def matched_stop(candidates: tuple[Any, ...], stop_sequences: tuple[str, ...]) -> str | None:
    """The stop sequence of the client that the server reports as matched.  A number there is the id of a token."""
    return next((found for found in candidates if isinstance(found, str) and found in stop_sequences), None)
