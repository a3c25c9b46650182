"""The entries of `tools` in a Messages request.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.client_tools import as_function
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import Fields
from asgi_llmgate.protocol.rawjson.structure import STRUCTURE, Structure

Kind = Literal["function", "search", "unsupported"]

MAX_KEPT = 32
"""Lists of tools that are kept opened; for these, what was made of them."""

MAX_KEPT_BYTES, _MAX_KEPT_FIELDS = 128 * 1024, 1024
"""A list that is longer, or whose tools have more fields together, is not kept.  A field takes about 200 bytes."""


class Tool(msgspec.Struct, frozen=True, eq=False):
    """One tool.

    `kind` is "function" for a tool that the client runs, "search" for Anthropic's tool search, and "unsupported" for a
    tool that only Anthropic can run (`web_search_*` and so on).  `deferred`: the model may call it only after a search
    has loaded it (`tool_search`).
    """

    name: str
    kind: Kind
    deferred: bool
    fields: Fields


_kept: dict[tuple[bytes, Structure], Sequence[Tool]] = {}
"""Lists of tools by their bytes, and the limits that they were checked against.

Claude Code sends the same tools with every request of a session, and they are a third of a usual body.
"""

_kept_lock = threading.Lock()
"""Held while something is added: large bodies are read and translated in a thread."""


def read_tools(value: Raw | None, structure: Structure = STRUCTURE) -> Sequence[Tool]:
    """The entries of `tools`; none where it is absent.  Raises InvalidRequest with the place, and StructureTooLarge."""
    if value is None:
        return ()
    if len(value) > MAX_KEPT_BYTES:
        return _open_tools(value, structure)
    text = bytes(value)
    tools = _kept.get((text, structure))
    if tools is None:
        tools = _open_tools(Raw(text), structure)  # views of `text`: those of `value` would keep the whole body
        if sum(len(tool.fields) for tool in tools) <= _MAX_KEPT_FIELDS:
            keep(_kept, (text, structure), tools)
    return tools


def keep(kept: dict[Any, Any], key: Any, value: object) -> None:
    """Add to what is kept of lists of tools.  The oldest of MAX_KEPT makes room."""
    with _kept_lock:
        if len(kept) >= MAX_KEPT:
            del kept[next(iter(kept))]
        kept[key] = value


def is_kept(tools: Sequence[Tool]) -> bool:
    """Whether these are kept: `read_tools` gives the same objects for the same bytes, and they hold no body."""
    return any(tools is kept for kept in list(_kept.values()))


def _open_tools(value: Raw, structure: Structure) -> Sequence[Tool]:
    found = objects.require_objects(value, "tools")
    structure.check_size("tools", found)
    tools: list[Tool] = []
    try:
        for fields in found:
            structure.check_depth(fields.get("input_schema", b""))
            tools.append(read_tool(fields))
    except InvalidRequest as wrong:
        raise wrong.at(f"tools.{len(tools)}") from None
    return tuple(tools)


def read_tool(fields: Fields) -> Tool:
    """One tool from its definition.  Raises InvalidRequest for a function without a name."""
    kind = (objects.read_str(fields["type"]) if "type" in fields else "") or "custom"
    if kind == "custom":
        return _function(fields)
    if kind.startswith("tool_search_tool"):  # ..._regex_20251119, ..._bm25_20251119
        return Tool(kind, "search", False, fields)
    # A type that is unknown here but brings its schema can be sent like any function.
    function = fields if "input_schema" in fields else as_function(kind, fields)
    if function is None:
        return Tool(objects.read_str(fields.get("name")) or kind, "unsupported", False, fields)
    return _function(function)


def _function(fields: Fields) -> Tool:
    deferred = "defer_loading" in fields and objects.is_true(fields["defer_loading"])
    return Tool(objects.require_str(fields, "name"), "function", deferred, fields)
