"""The fields of a chat request that switch thinking on or off, one way per kind of server.

`Dialect.reasoning` names the way:

    none        there is no field
    effort      OpenAI and vLLM: `reasoning_effort`
    openrouter  `reasoning: {effort}` or `{max_tokens}`, https://openrouter.ai/docs/use-cases/reasoning-tokens
    template    llama.cpp: `enable_thinking` for the chat template, tools/server/README.md
    toggle      DeepSeek: `thinking: {type}`, https://api-docs.deepseek.com/guides/thinking_mode
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from asgi_llmgate.protocol.servers.columns import Effort

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Switch:
    """What to ask for.

    `mode` is the client's `thinking.type`, or "".  `budget` is the client's own, in tokens, or 0.  `effort` is one that
    the model accepts, or None to leave it to the model.
    """

    mode: str = ""
    budget: int = 0
    effort: Effort | None = None


def switch_fields(reasoning: str, switch: Switch) -> Fields:
    """The fields to send to a server whose `Dialect.reasoning` is this."""
    return _WAYS[reasoning](switch)


def _no_fields(switch: Switch) -> Fields:
    return {}


def _effort_fields(switch: Switch) -> Fields:
    return {} if switch.effort is None else {"reasoning_effort": switch.effort}


def _openrouter_fields(switch: Switch) -> Fields:
    # OpenRouter takes either a budget or an effort.
    if switch.budget:
        return {"reasoning": {"max_tokens": switch.budget}}
    return {} if switch.effort is None else {"reasoning": {"effort": switch.effort}}


def _template_fields(switch: Switch) -> Fields:
    if switch.mode not in ("enabled", "disabled"):
        return {}
    return {"chat_template_kwargs": {"enable_thinking": switch.mode == "enabled"}}


def _toggle_fields(switch: Switch) -> Fields:
    return {"thinking": {"type": switch.mode}} if switch.mode in ("enabled", "disabled") else {}


_WAYS: Mapping[str, Callable[[Switch], Fields]] = MappingProxyType(
    {
        "none": _no_fields,
        "effort": _effort_fields,
        "openrouter": _openrouter_fields,
        "template": _template_fields,
        "toggle": _toggle_fields,
    }
)
