"""What the response has to know of the tools, and whether calls of them are looked for in its text
(`chat.leaked_calls`)."""

from __future__ import annotations

from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.servers.columns import LEAKED_CALL_FORMATS, LeakedCallFormat
from asgi_llmgate.protocol.translation.request.draft import Draft
from asgi_llmgate.protocol.translation.request.tools import WrittenTools
from asgi_llmgate.protocol.translation.response.plan import MAX_TOOLS

_NO_FORMATS: frozenset[LeakedCallFormat] = frozenset()


def declared_tools(draft: Draft, tools: WrittenTools) -> tuple[frozenset[LeakedCallFormat], bytes]:
    """The formats of leaked calls to look for, and `ResponsePlan.tools`: with the schemas only where there are formats.

    Call this after the tools and the response format are written.
    """
    found = draft.dialect.leaked_calls
    if found and tools.functions and len(tools.functions) <= MAX_TOOLS and _may_leak(draft):
        return LEAKED_CALL_FORMATS if "all" in found else frozenset(found), tools.functions
    return _NO_FORMATS, tools.names if len(tools.names) <= MAX_TOOLS else b""


def _may_leak(draft: Draft) -> bool:
    """Whether a call in the text can be the model's.

    It cannot with a choice of none, where the text continues a text of the client's, and where it is JSON that the
    client has asked for.
    """
    config = objects.read_object(objects.get_raw(draft.request.fields, "output_config")) or {}
    if draft.prefill or "format" in config or "output_format" in draft.request.fields:
        return False
    return bool(draft.body.get("tool_choice") != "none")
