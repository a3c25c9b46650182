"""Deferred tools, and the parts of a conversation that load them or take them away."""

from __future__ import annotations

from typing import Any

HI = {"role": "user", "content": "hi"}


def tool(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "description": f"does {name}", "input_schema": {"type": "object"}, **fields}


def later(name: str) -> dict[str, Any]:
    return tool(name, defer_loading=True)


def found(call_id: str, *names: str) -> list[dict[str, Any]]:
    """A round of `ToolSearch`."""
    references = [{"type": "tool_reference", "tool_name": name} for name in names]
    return [
        {"role": "assistant", "content": [{"type": "tool_use", "id": call_id, "name": "ToolSearch", "input": {}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": call_id, "content": references},
                {"type": "text", "text": "Tool loaded."},
            ],
        },
    ]


def change(kind: str, tool: Any) -> dict[str, Any]:
    return {"role": "system", "content": [{"type": kind, "tool": tool}]}


def reference(name: str) -> dict[str, Any]:
    return {"type": "tool_reference", "name": name}


def definition(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "tool_definition", "definition": tool(name, **fields)}


ASIDE = {"role": "assistant", "content": [{"type": "text", "text": "x"}]}
TOOLS = [tool("Bash"), later("Alpha"), later("Beta"), tool("ToolSearch"), later("DeferredToolPlaceholder")]
