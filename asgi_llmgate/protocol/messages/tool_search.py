"""Tool search: which tools the model may call at the end of the conversation.

Claude Code defers most of its tools (`defer_loading`).  They stand in `tools`, or are defined somewhere in the
conversation, and the model may call them only after something has loaded them: a `tool_reference` in a tool's result,
or a `tool_addition` in a system message.  A `tool_removal` takes a tool away again.
(https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-search-tool)

Loaded tools follow the others in the order of their loading.  So the list of one turn is the beginning of the list of
the next turn, and the model server's prompt cache holds.

A search tool that runs on Anthropic's servers cannot run here.  Where one is listed, every deferred tool is offered
from the start.

How this reaches the model is in `translation.tool_search`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.blocks import Block, Message
from asgi_llmgate.protocol.messages.tools import Tool, read_tool
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import Fields

_CHANGES = frozenset({"tool_reference", "tool_addition", "tool_removal", "tool_search_tool_result", "compaction"})
"""Types of blocks that load or remove a tool."""


class Toolset:
    """The tools of one request, after its whole conversation.

    `declared` are all functions by name.  `offered` are those that the model may call now, in the order in which to
    send them.  `unsupported` cannot be sent.  `unknown` are names that were loaded or removed without a declaration.
    `types` are those of the blocks in `messages`.

    Raises InvalidRequest for a definition in the conversation that is not valid.
    """

    def __init__(self, tools: Sequence[Tool], messages: Iterable[Message], types: Set[str]) -> None:
        kinds = {tool.kind for tool in tools}
        self.declared: dict[str, Tool] = {}
        self.offered: dict[str, Tool] = {}
        self.unsupported = [tool for tool in tools if tool.kind == "unsupported"] if "unsupported" in kinds else []
        self.unknown: set[str] = set()
        for tool in tools:
            if tool.kind == "function":
                self.declared[tool.name] = tool
                if not tool.deferred or "search" in kinds or tool.name in self.offered:
                    self.offered[tool.name] = tool
        if types.isdisjoint(_CHANGES):
            return
        for index, message in enumerate(messages):
            try:
                self._apply(message.content)
            except InvalidRequest as wrong:
                raise wrong.at(f"messages.{index}.content") from None

    def _apply(self, blocks: Iterable[Block], *, compacted: bool = False) -> None:
        """Apply every block that loads or removes a tool.  `compacted`: the blocks stand in a compaction."""
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
                    # Anthropic's own search ran earlier in this conversation, before it came to this gateway.
                    found = objects.read_object(block.fields.get("content")) or {}
                    for reference in objects.read_objects(found.get("tool_references")):
                        self._load(objects.read_str(reference.get("tool_name")))
                case "compaction" if not compacted:
                    # The changes of the messages that the compaction stands for.
                    changes = objects.read_objects(block.fields.get("tool_changes"))
                    blocks = (Block(objects.read_str(change.get("type")), change) for change in changes)
                    self._apply(blocks, compacted=True)

    def _declare(self, tool: Tool) -> None:
        self.declared[tool.name] = tool
        if tool.name in self.offered:  # a new definition of it; its place in the order stays
            self.offered[tool.name] = tool

    def _load(self, name: str) -> None:
        if name not in self.declared:
            self.unknown.add(name)
        elif name not in self.offered:
            self.offered[name] = self.declared[name]

    def _add(self, fields: Fields) -> None:
        """A `tool_addition`: with the tool's definition, or with the name of a tool that is declared."""
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
