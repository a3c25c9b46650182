"""One tool as a function of a chat request: its schema and its description, as the server accepts them."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from msgspec import Raw

from asgi_llmgate.protocol.messages.tools import Tool
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.servers.corrections.tool_schemas import (
    EVERY_TOOL,
    LEFT_OUT,
    NOT_STRICT,
    SentTool,
    digest,
)
from asgi_llmgate.protocol.servers.schemas.rewrites import MINIMAL, NO_SCHEMA, Rewrites, rewrite
from asgi_llmgate.protocol.servers.schemas.strict import allows_strict
from asgi_llmgate.protocol.translation.request.draft import Draft

_is_usual = re.compile(rb'\{(?:"\$schema":"[^"\\]*",)?"type":"object","properties":\{').match
"""A schema to which nothing has to be added."""

_MAX_SCHEMA_IN_WORDS = 4_000
"""Characters of a schema in the description of its tool."""

_CUT = " [cut: too long for this model server]"


class FunctionWriter:
    """Writes the tools of one request; `sent` are those that were written."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self.sent: list[SentTool] = []
        self._corrections = defaultdict[str, set[str]](set)
        for where, name in draft.corrections.schemas:
            self._corrections[where].add(name)
        self._usual: Rewrites = draft.dialect.tool_schemas | self._corrections[EVERY_TOOL]
        limits = (draft.dialect.max_tool_description, draft.corrections.max_tool_description)
        self._longest = min((limit for limit in limits if limit is not None), default=None)

    def write(self, tool: Tool) -> dict[str, Any] | None:
        """The tool; None for one that the server does not accept in any form."""
        draft = self._draft
        given = objects.get_raw(tool.fields, "input_schema")
        # The schema's own bytes: order of names and spelling of numbers are part of the prompt.
        schema = NO_SCHEMA if given is None else bytes(given)
        own = self._corrections.get(digest(schema), ()) if len(self._corrections) > 1 else ()
        if LEFT_OUT in own:
            draft.dropped.add(f"tools[].{tool.name}")
            return None
        rewrites = self._usual.union(own)
        parameters = self._rewritten(tool, schema, rewrites)
        name = draft.tool_names.upstream(tool.name)
        self.sent.append(SentTool(name, schema))
        function: dict[str, Any] = {"name": name}
        description = self._description(tool, schema if MINIMAL in own else b"")
        if description is not None:
            function["description"] = description
        if parameters:
            function["parameters"] = Raw(parameters)
        if "strict" in tool.fields and self._is_strict(tool, NOT_STRICT in rewrites):
            function["strict"] = True
        return {"type": "function", "function": function}

    def _rewritten(self, tool: Tool, schema: bytes, rewrites: Rewrites) -> bytes:
        if not rewrites and _is_usual(schema):
            return schema
        written = rewrite(schema, rewrites)
        if written != schema and rewrites and written != rewrite(schema, frozenset()):
            named = len(rewrites) > len(self._usual)
            self._draft.dropped.add(f"tools[].{tool.name}.input_schema" if named else "tools[].input_schema")
        return written

    def _description(self, tool: Tool, schema: bytes) -> Raw | str | None:
        """The description.  `schema` is put into words, if there is one."""
        description = objects.read_raw_str(tool.fields, "description")
        if not schema and (self._longest is None or description is None or len(description) <= self._longest + 2):
            return description
        text = objects.read_str(description)
        if schema:
            text = (
                f"{text}\n\nJSON schema of the input: {schema[:_MAX_SCHEMA_IN_WORDS].decode(errors='ignore')}".lstrip()
            )
        if self._longest is not None and len(text) > self._longest:
            self._draft.dropped.add(f"tools[].{tool.name}.description")
            text = text[: max(self._longest - len(_CUT), 0)] + _CUT[: self._longest]
        return text

    def _is_strict(self, tool: Tool, refused: bool) -> bool:
        draft = self._draft
        if not objects.is_true(tool.fields.get("strict")):
            return False
        accepted = draft.dialect.strict_tools and not refused
        if accepted and allows_strict(objects.read_value(tool.fields.get("input_schema"))):
            return True
        draft.dropped.add("tools[].strict")
        return False
