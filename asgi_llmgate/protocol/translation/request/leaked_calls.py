"""What the response has to know of the tools, and whether calls of them are looked for in its text
(`chat.leaked_calls`)."""

from __future__ import annotations

from msgspec import Raw

from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.servers.columns import LEAKED_CALL_FORMATS, LeakedCallFormat
from asgi_llmgate.protocol.translation.request.draft import Draft
from asgi_llmgate.protocol.translation.response.plan import MAX_TOOLS, NO_TOOLS

_NO_FORMATS: frozenset[LeakedCallFormat] = frozenset()


def declared_tools(draft: Draft) -> tuple[frozenset[LeakedCallFormat], bytes]:
    """The formats of leaked calls to look for, and `ResponsePlan.tools`: with the schemas only where there are formats.

    Call this after the tools and the response format are written.
    """
    tools = draft.body.get("tools")
    if tools is None:
        return _NO_FORMATS, NO_TOOLS
    if draft.dialect.leaked_calls and _may_leak(draft):
        declared = to_json(tools)
        if len(declared) <= MAX_TOOLS:
            draft.body["tools"] = Raw(declared)
            found = draft.dialect.leaked_calls
            return LEAKED_CALL_FORMATS if "all" in found else frozenset(found), declared
    names = to_json([{"function": {"name": tool["function"]["name"]}} for tool in tools])
    return _NO_FORMATS, names if len(names) <= MAX_TOOLS else b""


def _may_leak(draft: Draft) -> bool:
    """Whether a call in the text can be the model's.

    It cannot with a choice of none, where the text continues a text of the client's, and where it is JSON that the
    client has asked for.
    """
    config = objects.read_object(objects.get_raw(draft.request.fields, "output_config")) or {}
    if draft.prefill or "format" in config or "output_format" in draft.request.fields:
        return False
    return bool(draft.body.get("tool_choice") != "none")
