"""`tools`, `tool_choice` and `parallel_tool_calls`.

https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.tools import MAX_KEPT_BYTES, Tool, is_kept, keep
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.servers.corrections.tool_schemas import SentTool
from asgi_llmgate.protocol.servers.schemas.rewrites import NO_SCHEMA
from asgi_llmgate.protocol.translation.request.draft import Draft, Dropped
from asgi_llmgate.protocol.translation.request.target_format import TargetFormat
from asgi_llmgate.protocol.translation.request.tool_choice import NO_CHOICE, Choice, read_choice, write_choice
from asgi_llmgate.protocol.translation.request.tool_schemas import FunctionWriter
from asgi_llmgate.protocol.translation.request.tool_search import report_unknown_tools
from asgi_llmgate.protocol.translation.response.plan import NO_TOOLS

_TOOL_FIELDS = frozenset({"type", "name", "description", "input_schema", "defer_loading", "strict"})
_MAX_SHOWN = 20
"""Names of tools in one message."""

_MCP = "mcp__"
"""The beginning of the names that Claude Code gives to tools of MCP servers."""

_PAST_TOOL = "Was used earlier in this conversation, and is not available now."


def unavailable_text(draft: Draft) -> str | None:
    """The text to respond with when the only tools are ones that only Anthropic can run; None to send the request.

    Claude Code's WebSearch makes such a request of its own and uses the text as the result.  Raises InvalidRequest
    where the settings say so (`Options.unsupported_tools`).
    """
    toolset = draft.request.toolset
    if toolset.declared or not toolset.unsupported or draft.format.options.unsupported_tools == "drop":
        return None
    names = ", ".join(tool.name[:64] for tool in toolset.unsupported[:_MAX_SHOWN])
    text = f"not available through this gateway: {names}"
    if draft.format.options.unsupported_tools == "reject":
        raise InvalidRequest(f"tools: {text}")
    _report_unsupported(draft)
    return f"Tools {text}."


class WrittenTools(NamedTuple):
    """Some tools as they are sent.

    `functions` is `tools` of the chat request as JSON, empty for none; `names` is the same without anything but names.
    `sent` are the tools that can be corrected, `dropped` names of what was left out or changed.
    """

    functions: bytes = b""
    names: bytes = NO_TOOLS
    sent: Sequence[SentTool] = ()
    dropped: Sequence[str] = ()


_NOTHING = WrittenTools()

_kept: dict[tuple[Sequence[Tool], Sequence[Tool], TargetFormat], WrittenTools] = {}
"""What was written of the tools that are kept (`messages.tools`): the given ones, the offered ones, the format.

At most MAX_KEPT, each of twice MAX_KEPT_BYTES beside the tools themselves.
"""


def write_tools(draft: Draft) -> tuple[WrittenTools, Choice]:
    """Write the tools that the model may call now, and the choice among them; returns what was written."""
    toolset = draft.request.toolset
    _report_unsupported(draft)
    report_unknown_tools(draft)
    if not toolset.offered:  # also no tool_choice: servers refuse one without tools
        if draft.request.tools:
            _report_fields(draft.dropped, draft.request.tools)
        if draft.dialect.tools_for_history or "tools_for_history" in draft.format.corrections.tool_requirements:
            return _write_past_tools(draft), NO_CHOICE
        return _NOTHING, NO_CHOICE
    choice = read_choice(draft)
    offered = [toolset.offered[choice.only]] if choice.only else _within_limit(draft, list(toolset.offered.values()))
    written = _write_offered(draft, tuple(offered))
    for name in written.dropped:
        draft.dropped.add(name)
    if not written.functions:
        return written, NO_CHOICE
    draft.body["tools"] = Raw(written.functions)
    write_choice(draft, choice)
    return written, choice


def _write_offered(draft: Draft, offered: Sequence[Tool]) -> WrittenTools:
    given = draft.request.tools
    key = given, offered, draft.format
    if (kept := _kept.get(key)) is not None:
        return kept
    writer = FunctionWriter(draft.format, draft.tool_names)
    _report_fields(writer.dropped, given)
    functions = [function for tool in offered if (function := writer.write(tool)) is not None]
    written = _written(functions, writer.sent, writer.dropped)
    # Not kept: a tool of the conversation, which is a view of the whole body, and a name that is not the server's,
    # since each request has to know the way back.
    again = is_kept(given) and set(offered) <= set(given) and not draft.tool_names.back
    if again and len(written.functions) <= 2 * MAX_KEPT_BYTES:  # a rewritten schema can be longer
        keep(_kept, key, written)
    return written


def _written(functions: list[dict[str, Any]], sent: Sequence[SentTool], dropped: Dropped) -> WrittenTools:
    if not functions:
        return WrittenTools(dropped=tuple(dropped.names))
    names = [{"function": {"name": function["name"]}} for function in functions]
    listed = [{"type": "function", "function": function} for function in functions]
    return WrittenTools(to_json(listed), to_json(names), tuple(sent), tuple(dropped.names))


def _report_fields(dropped: Dropped, tools: Sequence[Tool]) -> None:
    """Report the fields that are not sent, and the search tools."""
    for tool in tools:
        if tool.kind == "function":
            dropped.add_unknown("tools[].", tool.fields, _TOOL_FIELDS)
        elif tool.kind == "search":
            dropped.add(f"tools[].{tool.name}")


def _report_unsupported(draft: Draft) -> None:
    for tool in draft.request.toolset.unsupported:
        draft.dropped.add(f"tools[].{tool.name}")


def _within_limit(draft: Draft, tools: list[Tool]) -> list[Tool]:
    """As many tools as the server accepts, in their order.

    Tools of MCP servers are left out first, and of these the last ones; tools that a search has loaded are wanted most.
    """
    limit = draft.format.max_tools
    if limit is None or len(tools) <= limit:
        return tools
    chosen = objects.read_object(objects.get_raw(draft.request.fields, "tool_choice")) or {}
    name = objects.read_str(chosen.get("name"))
    by_worth = sorted(tools, key=lambda tool: (tool.name != name, not tool.deferred, tool.name.startswith(_MCP)))
    left_out = dict.fromkeys(tool.name for tool in by_worth[limit:])
    for each in left_out:
        draft.dropped.add(f"tools[].{each}")
    return [tool for tool in tools if tool.name not in left_out]


def _write_past_tools(draft: Draft) -> WrittenTools:
    """Declare the tools that the conversation has calls of, for a server that wants this of every conversation with
    calls; the model may call none of them."""
    calls = (block for message in draft.request.messages for block in message.content if block.type == "tool_use")
    names = dict.fromkeys(draft.tool_names[objects.require_str(block.fields, "name")] for block in calls)
    functions = [{"name": name, "description": _PAST_TOOL, "parameters": Raw(NO_SCHEMA)} for name in names]
    written = _written(functions, (), Dropped())
    if functions:
        draft.body["tools"] = Raw(written.functions)
        draft.body["tool_choice"] = "none"
    return written
