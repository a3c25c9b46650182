"""`tools`, `tool_choice` and `parallel_tool_calls`.

https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools
"""

from __future__ import annotations

from typing import Any

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.tools import Tool
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.translation.request.draft import Draft
from asgi_llmgate.protocol.translation.request.tool_search import report_unknown_tools

_TOOL_FIELDS = frozenset({"type", "name", "description", "input_schema", "defer_loading", "strict"})
_CHOICE_FIELDS = frozenset({"type", "name", "disable_parallel_tool_use"})
_CHOICES = {"auto": b'"auto"', "any": b'"required"', "none": b'"none"'}
"""OpenAI's word for each of Anthropic's."""

_NO_SCHEMA = b'{"type":"object","properties":{}}'
_MAX_SHOWN = 20
"""Names of tools in one message."""

_NOT_SCHEMAS = frozenset({"properties", "required", "enum", "const", "default", "examples"})
"""Keywords of JSON Schema whose value is not a schema, or is checked apart (`properties`)."""


def unavailable_text(draft: Draft) -> str | None:
    """The text to respond with when the only tools are ones that only Anthropic can run; None to send the request.

    Claude Code's WebSearch makes such a request of its own and uses the text as the result.  Raises InvalidRequest
    where the settings say so (`Options.unsupported_tools`).
    """
    toolset = draft.request.toolset
    if toolset.declared or not toolset.unsupported or draft.options.unsupported_tools == "drop":
        return None
    names = ", ".join(tool.name[:64] for tool in toolset.unsupported[:_MAX_SHOWN])
    text = f"not available through this gateway: {names}"
    if draft.options.unsupported_tools == "reject":
        raise InvalidRequest(f"tools: {text}")
    _report_unsupported(draft)
    return f"Tools {text}."


def write_tools(draft: Draft) -> bool:
    """Write the tools that the model may call now, and the choice among them.  Returns whether there are any."""
    toolset = draft.request.toolset
    for tool in draft.request.tools:
        if tool.kind == "function":
            draft.dropped.add_unknown("tools[].", tool.fields, _TOOL_FIELDS)
        elif tool.kind == "search":
            draft.dropped.add(f"tools[].{tool.name}")
    _report_unsupported(draft)
    report_unknown_tools(draft)
    if not toolset.offered:
        return False  # also no tool_choice: servers refuse one without tools
    draft.body["tools"] = b"[%s]" % b",".join([_function(draft, tool) for tool in toolset.offered.values()])
    _write_choice(draft)
    return True


def _report_unsupported(draft: Draft) -> None:
    for tool in draft.request.toolset.unsupported:
        draft.dropped.add(f"tools[].{tool.name}")


def _function(draft: Draft, tool: Tool) -> bytes:
    description = objects.read_raw_str(tool.fields, "description")
    # The schema's own bytes: order of names and spelling of numbers are part of the prompt.
    schema = objects.get_raw(tool.fields, "input_schema") or _NO_SCHEMA
    return b'{"type":"function","function":{"name":%s%s,"parameters":%s%s}}' % (
        to_json(draft.tool_names.upstream(tool.name)),
        b',"description":%s' % description if description is not None else b"",
        schema,
        b',"strict":true' if _is_strict(draft, tool) else b"",
    )


def _is_strict(draft: Draft, tool: Tool) -> bool:
    if not objects.is_true(tool.fields.get("strict")):
        return False
    if draft.dialect.strict_tools and allows_strict(objects.read_value(tool.fields.get("input_schema"))):
        return True
    draft.dropped.add("tools[].strict")
    return False


def allows_strict(schema: Any) -> bool:
    """Whether OpenAI accepts a schema with `strict: true`: every object closed, every property required.

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
    draft.dropped.add_unknown("tool_choice.", choice, _CHOICE_FIELDS)
    written = _choice(draft, objects.read_str(choice.get("type")), objects.read_str(choice.get("name")))
    if written is None:
        draft.dropped.add("tool_choice")
    else:
        draft.body["tool_choice"] = written
    if objects.is_true(choice.get("disable_parallel_tool_use")):
        if draft.dialect.parallel_tool_calls:
            draft.body["parallel_tool_calls"] = b"false"
        else:
            draft.dropped.add("tool_choice.disable_parallel_tool_use")


def _choice(draft: Draft, kind: str, name: str) -> bytes | None:
    """The choice, or the nearest one that the server accepts, as JSON; None where it accepts none."""
    known = draft.dialect.tool_choice
    if kind == "tool":
        if name not in draft.request.toolset.offered:
            return None
        if known == "named":
            return b'{"type":"function","function":{"name":%s}}' % to_json(draft.tool_names.upstream(name))
        draft.dropped.add("tool_choice.name")
        kind = "any"
    if known == "none" and kind != "auto":
        return None
    return _CHOICES.get(kind)
