"""Bodies of requests: a short question, and the size of a conversation of Claude Code (172 kB)."""

from __future__ import annotations

import json
import random
from typing import Any

WORDS = 'def return import "self" class async await\n with for if else — the of to in is that file\t name'.split(" ")  # noqa: SIM905


def small(*, stream: bool = False) -> bytes:
    messages = [{"role": "user", "content": "Hello, who are you?"}]
    system = "You are a helpful assistant."
    return _encode({"max_tokens": 256, "stream": stream, "system": system, "messages": messages})


def large(*, stream: bool = False) -> bytes:
    """18 tools and 30 messages, 14 of them the results of tools."""
    chance = random.Random(7)
    messages: list[dict[str, Any]] = [{"role": "user", "content": [_text(chance, 1500), _text(chance, 30)]}]
    for turn in range(14):
        call = {"type": "tool_use", "id": f"toolu_{turn:024}", "name": f"Tool{turn:02}"}
        arguments = {"param_0": _words(chance, 300), "param_1": f"/src/app/module_{turn}.py"}
        messages.append({"role": "assistant", "content": [_text(chance, 160), {**call, "input": arguments}]})
        result = {"type": "tool_result", "tool_use_id": f"toolu_{turn:024}", "content": [_text(chance, 6300)]}
        messages.append({"role": "user", "content": [result]})
    messages.append({"role": "assistant", "content": [_text(chance, 300)]})
    messages.append({"role": "user", "content": [{**_text(chance, 8), "cache_control": {"type": "ephemeral"}}]})
    tools = [_tool(chance, number) for number in range(18)]
    system = [{**_text(chance, 15000), "cache_control": {"type": "ephemeral"}}]
    metadata = {"user_id": "user_0123_account__session_4567"}
    body = {"max_tokens": 8000, "stream": stream, "system": system, "tools": tools, "messages": messages}
    return _encode({**body, "metadata": metadata, "temperature": 1})


def of_size(size: int) -> bytes:
    """About so many bytes: a conversation whose turns have texts of 20 kB."""
    text = _words(random.Random(7), min(size, 19_000))
    turn = {"role": "user", "content": text}
    length = len(json.dumps(turn, ensure_ascii=False).encode())
    return _encode({"max_tokens": 256, "stream": False, "messages": [turn] * max(1, size // length)})


def with_tools(count: int) -> bytes:
    """A short question with so many tools."""
    chance = random.Random(7)
    tools = [_tool(chance, number) for number in range(count)]
    messages = [{"role": "user", "content": "Hello, who are you?"}]
    return _encode({"max_tokens": 256, "stream": False, "tools": tools, "messages": messages})


def _tool(chance: random.Random, number: int) -> dict[str, Any]:
    items = {"type": "object", "properties": {"status": {"type": "string", "enum": ["pending", "completed"]}}}
    properties: dict[str, Any] = {"param_0": {"type": "array", "items": {**items, "additionalProperties": False}}}
    for index in range(1, 6):
        properties[f"param_{index}"] = {"type": "string", "description": _words(chance, 140)}
    schema = {"type": "object", "properties": properties, "required": ["param_1"], "additionalProperties": False}
    return {"name": f"Tool{number:02}", "description": _words(chance, 1500), "input_schema": schema}


def _text(chance: random.Random, size: int) -> dict[str, Any]:
    return {"type": "text", "text": _words(chance, size)}


def _words(chance: random.Random, size: int) -> str:
    return " ".join(chance.choices(WORDS, k=size // 4))[:size]


def _encode(body: dict[str, Any]) -> bytes:
    return json.dumps({"model": "claude-opus-5-5", **body}, ensure_ascii=False, separators=(",", ":")).encode()
