"""One tool as a function of a chat request: its schema and its description, as the server accepts them."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Raw

from asgi_llmgate.protocol.messages.tools import Tool
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.servers.corrections.tool_schemas import (
    LEFT_OUT,
    NOT_STRICT,
    SentTool,
    digest,
)
from asgi_llmgate.protocol.servers.schemas.rewrites import MINIMAL, NO_SCHEMA, Rewrites, rewrite
from asgi_llmgate.protocol.servers.schemas.strict import allows_strict
from asgi_llmgate.protocol.translation.request.draft import Dropped
from asgi_llmgate.protocol.translation.request.target_format import TargetFormat
from asgi_llmgate.protocol.translation.request.tool_names import ToolNames

_is_usual = re.compile(rb'\{(?:"\$schema":"[^"\\]*",)?"type":"object","properties":\{').match
"""A schema to which nothing has to be added."""

_NONE: Rewrites = frozenset()

_MAX_SCHEMA_IN_WORDS = 4_000
"""Characters of a schema in the description of its tool."""

_CUT = " [cut: too long for this model server]"


class FunctionWriter:
    """Writes tools; `sent` are those that were written, and `dropped` is what was left out or changed."""

    def __init__(self, format: TargetFormat, names: ToolNames) -> None:
        self._format = format
        self._names = names
        self.sent: list[SentTool] = []
        self.dropped = Dropped()

    def write(self, tool: Tool) -> dict[str, Any] | None:
        """The `function` of a tool; None for one that the server does not accept in any form."""
        format = self._format
        given = tool.fields.get("input_schema")
        # The schema's own bytes: order of names and spelling of numbers are part of the prompt.
        schema = NO_SCHEMA if given is None else bytes(given)
        if schema == b"null":  # as for every field: absent
            schema = NO_SCHEMA
        own = format.rewrites_by_schema.get(digest(schema), _NONE) if format.rewrites_by_schema else _NONE
        if LEFT_OUT in own:
            self.dropped.add(f"tools[].{tool.name}")
            return None
        rewrites = format.schema_rewrites | own if own else format.schema_rewrites
        parameters = rewrite(schema, rewrites) if rewrites or not _is_usual(schema) else schema
        if parameters != schema and rewrites and parameters != rewrite(schema, _NONE):
            named = len(rewrites) > len(format.schema_rewrites)
            self.dropped.add(f"tools[].{tool.name}.input_schema" if named else "tools[].input_schema")
        name = self._names[tool.name]
        self.sent.append(SentTool(name, schema))
        function: dict[str, Any] = {"name": name}
        described = objects.read_raw_str(tool.fields, "description")
        description: Raw | str | None = described
        if MINIMAL in own or format.max_tool_description is not None:
            description = self._shortened(tool, described, schema if MINIMAL in own else b"")
        if description is not None:
            function["description"] = description
        if parameters:
            function["parameters"] = Raw(parameters)
        if "strict" in tool.fields and self._is_strict(tool, NOT_STRICT in rewrites):
            function["strict"] = True
        return function

    def _shortened(self, tool: Tool, description: Raw | None, schema: bytes) -> Raw | str | None:
        """A description that the server accepts.  `schema` is put into words, if there is one."""
        longest = self._format.max_tool_description
        if not schema and (longest is None or description is None or len(description) <= longest + 2):
            return description
        text = objects.read_str(description)
        if schema:
            text = (
                f"{text}\n\nJSON schema of the input: {schema[:_MAX_SCHEMA_IN_WORDS].decode(errors='ignore')}".lstrip()
            )
        if longest is not None and len(text) > longest:
            self.dropped.add(f"tools[].{tool.name}.description")
            text = text[: max(longest - len(_CUT), 0)] + _CUT[:longest]
        return text

    def _is_strict(self, tool: Tool, refused: bool) -> bool:
        if not objects.is_true(tool.fields.get("strict")):
            return False
        accepted = self._format.dialect.strict_tools and not refused
        if accepted and allows_strict(objects.read_value(tool.fields.get("input_schema"))):
            return True
        self.dropped.add("tools[].strict")
        return False
