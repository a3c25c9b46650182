"""`tools`, `tool_choice` and what hangs on them."""

from __future__ import annotations

from typing import Any

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.tool_search import Tool
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.translation.draft import Draft

_FUNCTION = frozenset({"type", "name", "description", "input_schema", "defer_loading", "strict"})
_CHOICE = frozenset({"type", "name", "disable_parallel_tool_use"})
_CHOICES = {"auto": b'"auto"', "any": b'"required"', "none": b'"none"'}
_NO_SCHEMA = b'{"type":"object","properties":{}}'
_SHOWN = 20
_NOT_SCHEMAS = frozenset({"properties", "required", "enum", "const", "default", "examples"})
"""Keywords whose values are no schemas, or are looked at by themselves."""


def answer_instead(draft: Draft) -> str | None:
    """The text to answer with when the only tools are ones that nobody here can run, and the settings say so.

    Claude Code's WebSearch is such a call of its own; it takes a text for the result.
    """
    toolset = draft.request.toolset
    if toolset.declared or not toolset.unsupported or draft.options.unsupported_tools == "drop":
        return None
    names = ", ".join(tool.name[:64] for tool in toolset.unsupported[:_SHOWN])
    text = f"not available through this gateway: {names}"
    if draft.options.unsupported_tools == "reject":
        raise InvalidRequest(f"tools: {text}")
    _report_unsupported(draft)
    return f"Tools {text}."


def write(draft: Draft) -> bool:
    """Write the tools that are offered now.  Returns whether there are any."""
    toolset = draft.request.toolset
    for tool in draft.request.tools:
        if tool.kind == "function":
            draft.report.unknown("tools[].", tool.fields, _FUNCTION)
        elif tool.kind == "search":
            draft.report.add(f"tools[].{tool.name}")
    _report_unsupported(draft)
    if toolset.unknown:
        draft.report.add("messages[].content[].tool_reference")
    if not toolset.offered:
        return False
    draft.body["tools"] = b"[%s]" % b",".join([_function(draft, tool) for tool in toolset.offered.values()])
    _write_choice(draft)
    return True


def _report_unsupported(draft: Draft) -> None:
    for tool in draft.request.toolset.unsupported:
        draft.report.add(f"tools[].{tool.name}")


def _function(draft: Draft, tool: Tool) -> bytes:
    description = objects.read_raw_str(tool.fields, "description")
    schema = objects.get_raw(tool.fields, "input_schema") or _NO_SCHEMA
    return b'{"type":"function","function":{"name":%s%s,"parameters":%s%s}}' % (
        to_json(draft.names.upstream(tool.name)),
        b',"description":%s' % description if description is not None else b"",
        schema,
        b',"strict":true' if _is_strict(draft, tool) else b"",
    )


def _is_strict(draft: Draft, tool: Tool) -> bool:
    if not objects.is_true(tool.fields.get("strict")):
        return False
    if draft.dialect.strict_tools and allows_strict(objects.read_value(tool.fields.get("input_schema"))):
        return True
    draft.report.add("tools[].strict")
    return False


def allows_strict(schema: Any) -> bool:
    """Whether OpenAI takes a schema with `strict: true`: each object closed, each of its properties required.

    https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    if isinstance(schema, list):
        return all(map(allows_strict, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties, required = schema.get("properties"), schema.get("required")
        if schema.get("additionalProperties") is not False or not isinstance(properties, dict):
            return False
        if not isinstance(required, list) or not properties.keys() <= {name for name in required if type(name) is str}:
            return False
        if not all(map(allows_strict, properties.values())):
            return False
    return all(allows_strict(value) for name, value in schema.items() if name not in _NOT_SCHEMAS)


def _write_choice(draft: Draft) -> None:
    choice = objects.read_object(objects.get_raw(draft.request.fields, "tool_choice"))
    if choice is None:
        return
    draft.report.unknown("tool_choice.", choice, _CHOICE)
    written = _choice(draft, objects.read_str(choice.get("type")), objects.read_str(choice.get("name")))
    if written is None:
        draft.report.add("tool_choice")
    else:
        draft.body["tool_choice"] = written
    if objects.is_true(choice.get("disable_parallel_tool_use")):
        if draft.dialect.parallel_tool_calls:
            draft.body["parallel_tool_calls"] = b"false"
        else:
            draft.report.add("tool_choice.disable_parallel_tool_use")


def _choice(draft: Draft, kind: str, name: str) -> bytes | None:
    """The choice as the dialect can say it, None when it cannot."""
    known = draft.dialect.tool_choice
    if kind == "tool":
        if name not in draft.request.toolset.offered:
            return None
        if known == "named":
            return b'{"type":"function","function":{"name":%s}}' % to_json(draft.names.upstream(name))
        draft.report.add("tool_choice.name")
        kind = "any"
    if known == "none" and kind != "auto":
        return None
    return _CHOICES.get(kind)
