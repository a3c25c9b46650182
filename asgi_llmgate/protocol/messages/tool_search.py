"""Which tools the model may call now.

Claude Code keeps most tools deferred (`defer_loading`): they are in `tools`, or defined somewhere in the
conversation, and count only once something loads them: a `tool_reference` in a tool's result, a `tool_addition` in a
system message.  A `tool_removal` takes one out again.  What is loaded goes after the rest, in the order of loading,
so that the list of one turn is the beginning of the next turn's and prompt caches hold.
(https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-search-tool)

A server-side search tool cannot run here; where one is listed, everything it could find is offered at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.blocks import Block, Message
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import Fields
from asgi_llmgate.protocol.rawjson.structure import STRUCTURE, Structure

Kind = Literal["function", "search", "unsupported"]


class Tool(msgspec.Struct, frozen=True, eq=False):
    """An entry of `tools`.  An "unsupported" one has a schema that only Anthropic knows (`web_search_*` and so on)."""

    name: str
    kind: Kind
    deferred: bool
    fields: Fields


class Toolset:
    """The tools of one request, followed through its conversation.

    `declared` are all functions by name, `offered` those the model may call now, in the order in which to send them;
    `unsupported` cannot be sent; `unknown` holds names that were loaded or removed and that nobody has declared.
    """

    def __init__(self, tools: Sequence[Tool], messages: Iterable[Message]) -> None:
        searchable = any(tool.kind == "search" for tool in tools)
        self.declared: dict[str, Tool] = {}
        self.offered: dict[str, Tool] = {}
        self.unsupported = [tool for tool in tools if tool.kind == "unsupported"]
        self.unknown: set[str] = set()
        for tool in tools:
            if tool.kind == "function":
                self._declare(tool)
                if searchable or not tool.deferred:
                    self.offered[tool.name] = tool
        for index, message in enumerate(messages):
            try:
                self._follow(message.content)
            except InvalidRequest as wrong:
                raise wrong.at(f"messages.{index}.content") from None

    def _declare(self, tool: Tool) -> None:
        self.declared[tool.name] = tool
        if tool.name in self.offered:
            self.offered[tool.name] = tool

    def _follow(self, blocks: Iterable[Block], *, compacted: bool = False) -> None:
        for index, block in enumerate(blocks):
            match block.type:
                case "tool_result":
                    for inner in block.inner:
                        if inner.type == "tool_reference":
                            self._load(objects.read_str(inner.fields.get("tool_name")))
                case "tool_addition":
                    try:
                        self._add(block.fields)
                    except InvalidRequest as wrong:
                        raise wrong.at(f"{index}.tool.definition") from None
                case "tool_removal":
                    self._remove(block.fields)
                case "tool_search_tool_result":
                    found = objects.read_object(block.fields.get("content")) or {}
                    for reference in objects.read_objects(found.get("tool_references")):
                        self._load(objects.read_str(reference.get("tool_name")))
                case "compaction" if not compacted:
                    changes = objects.read_objects(block.fields.get("tool_changes"))
                    blocks = (Block(objects.read_str(change.get("type")), change) for change in changes)
                    self._follow(blocks, compacted=True)

    def _load(self, name: str) -> None:
        if name not in self.declared:
            self.unknown.add(name)
        elif name not in self.offered:
            self.offered[name] = self.declared[name]

    def _add(self, fields: Fields) -> None:
        tool = objects.read_object(fields.get("tool")) or {}
        definition = objects.read_object(tool.get("definition"))
        if definition is None:
            self._load(objects.read_str(tool.get("name")))
            return
        defined = read_tool(definition)
        if defined.kind == "function":
            self._declare(defined)
            self._load(defined.name)
        else:
            self.unsupported.append(defined)

    def _remove(self, fields: Fields) -> None:
        name = objects.read_str((objects.read_object(fields.get("tool")) or {}).get("name"))
        if self.offered.pop(name, None) is None and name not in self.declared:
            self.unknown.add(name)


def read_tools(value: Raw | None, structure: Structure = STRUCTURE) -> list[Tool]:
    """The entries of `tools`."""
    found = [] if value is None else objects.require_objects(value, "tools")
    structure.check_size("tools", found)
    tools = []
    for index, fields in enumerate(found):
        try:
            if (schema := fields.get("input_schema")) is not None:
                structure.check_depth(bytes(schema))
            tools.append(read_tool(fields))
        except InvalidRequest as wrong:
            raise wrong.at(f"tools.{index}") from None
    return tools


def read_tool(fields: Fields) -> Tool:
    kind = objects.read_str(fields.get("type")) or "custom"
    if kind.startswith("tool_search_tool"):
        return Tool(kind, "search", False, fields)
    if kind != "custom" and "input_schema" not in fields:
        return Tool(objects.read_str(fields.get("name")) or kind, "unsupported", False, fields)
    return Tool(objects.require_str(fields, "name"), "function", objects.is_true(fields.get("defer_loading")), fields)
