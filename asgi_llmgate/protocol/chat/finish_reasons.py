"""Why an answer ended: from OpenAI's `finish_reason` to Anthropic's `stop_reason`.

What came decides more than what the server calls it: Ollama and others finish tool calls with `stop`, and a client that
reads `end_turn` after a tool call stops working without a word.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from asgi_llmgate.errors import Broken, Failed, Overloaded, UpstreamError

_STOPPED = "end_turn"
_CUT = "max_tokens"
_REFUSED = "refusal"

_REASONS = MappingProxyType(
    {
        "stop": _STOPPED,
        "eos": _STOPPED,
        "eos_token": _STOPPED,
        "stop_sequence": _STOPPED,
        "tool_calls": _STOPPED,
        "function_call": _STOPPED,
        "length": _CUT,
        "max_tokens": _CUT,
        "model_length": _CUT,  # Mistral: the window was full
        "content_filter": _REFUSED,
        "sensitive": _REFUSED,  # Zhipu
    }
)

_FAILURES: MappingProxyType[str, tuple[type[UpstreamError], str]] = MappingProxyType(
    {
        "error": (Failed, "the model server failed while it answered"),  # OpenRouter
        "abort": (Broken, "the model server gave up while it answered"),  # vLLM
        "network_error": (Broken, "the model server gave up while it answered"),  # Zhipu
        "insufficient_system_resource": (Overloaded, "the model server is overloaded"),  # DeepSeek
    }
)


def failure(finish_reason: str) -> UpstreamError | None:
    """The error that a finish reason stands for, where it is no end but a break."""
    found = _FAILURES.get(finish_reason)
    return found[0](found[1]) if found else None


def is_known(finish_reason: str) -> bool:
    return finish_reason in _REASONS


def is_cut(finish_reason: str) -> bool:
    """Whether the server itself stopped the model, so that half a tool call is no mistake of the model's."""
    return _REASONS.get(finish_reason) in (_CUT, _REFUSED)


def stop_reason(finish_reason: str, *, called: bool, refused: bool, matched: bool) -> str:
    """Anthropic's word.  `called`: a tool call was told; `refused`: the model said no in a `refusal`; `matched`: the
    client's own stop sequence, where the server says that one ended the answer."""
    reason = _REASONS.get(finish_reason, _STOPPED)
    if refused:
        return _REFUSED
    if reason != _STOPPED:
        return reason
    if called:
        return "tool_use"
    return "stop_sequence" if matched else reason


def matched_stop(candidates: tuple[Any, ...], asked: tuple[str, ...]) -> str | None:
    """The client's stop sequence among what the server names; a number there is a token of the model's own."""
    return next((name for name in candidates if isinstance(name, str) and name in asked), None)
