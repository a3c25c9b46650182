"""Chat completion requests as the official `openai` SDK's types read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import TypeAdapter

_PARAMS = {
    False: TypeAdapter(CompletionCreateParamsNonStreaming),
    True: TypeAdapter(CompletionCreateParamsStreaming),
}


EXTENSIONS = frozenset(
    {"top_k", "chat_template_kwargs", "add_generation_prompt", "continue_final_message", "reasoning", "thinking"}
    | {"reasoning_content"}
)
"""What other servers understand beside OpenAI's own names, in a request or in one of its messages."""


def read_by_the_sdk(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body without the names that the SDK does not know.  Raises ValidationError for values of a wrong type."""
    return _whole(_PARAMS[bool(body.get("stream"))].validate_python(body))


def without_extensions(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body in OpenAI's own names."""
    plain = {name: value for name, value in body.items() if name not in EXTENSIONS}
    messages = [{name: value for name, value in m.items() if name not in EXTENSIONS} for m in body["messages"]]
    for message in messages:
        if "tool_calls" in message:
            message["tool_calls"] = [
                {name: value for name, value in entry.items() if name != "extra_content"}
                for entry in message["tool_calls"]
            ]
    return {**plain, "messages": messages}


def _whole(value: Any) -> Any:
    """With the lists that pydantic reads lazily read to their end."""
    if isinstance(value, Mapping):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_whole(inner) for inner in value]
    return value
