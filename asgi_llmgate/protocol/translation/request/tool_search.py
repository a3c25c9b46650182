"""Tool search in a chat request.

`messages.tool_search` follows the conversation and knows which tools the model may call; `tools` sends these.  Here is
what the conversation itself shows of it: a `tool_reference` becomes a line of text, so that the model knows that it may
call the tool now, and the blocks that add or remove a tool become nothing.
"""

from __future__ import annotations

from asgi_llmgate.protocol.messages.blocks import Block
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.translation.request.draft import Draft

TOOL_CHANGES = ("tool_addition", "tool_removal")
"""Blocks of a system message that only change the tools."""

_PLACE = "messages[].content[].tool_reference"


def reference_text(draft: Draft, block: Block) -> str:
    """The text for a `tool_reference`.

    It has the tool's name, and with `tool_references: schemas` its description and schema as well.
    """
    name = objects.read_str(block.fields.get("tool_name"))
    tool = draft.request.toolset.declared.get(name)
    if tool is None:
        draft.dropped.add(_PLACE)
    line = f"Tool now available: {draft.tool_names[name]}"
    if tool is None or draft.format.options.tool_references == "names":
        return line
    about = [objects.get_raw(tool.fields, field) for field in ("description", "input_schema")]
    return "\n".join([line, *(bytes(value).decode() for value in about if value is not None)])


def report_unknown_tools(draft: Draft) -> None:
    """Report tools that were loaded or removed but never declared."""
    if draft.request.toolset.unknown:
        draft.dropped.add(_PLACE)
