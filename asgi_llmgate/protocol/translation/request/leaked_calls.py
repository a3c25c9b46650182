"""Whether tool calls are looked for in the text of a response (`chat.leaked_calls`)."""

from __future__ import annotations

from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.servers.columns import LEAKED_CALL_FORMATS, Dialect, LeakedCallFormat
from asgi_llmgate.protocol.translation.request.draft import Draft

_MAX_TOOLS = 2**20
"""Bytes of the tools, which are kept as long as the response lasts."""


def has_channels(dialect: Dialect) -> bool:
    """Whether the content may begin with a channel of gpt-oss, in requests without tools as well."""
    return "harmony" in dialect.leaked_calls or "all" in dialect.leaked_calls


def formats(draft: Draft) -> frozenset[LeakedCallFormat]:
    """The dialect's formats; none where a call in the text cannot be the model's.

    That is without tools, with a choice of none, where the text continues a text of the client's, and where it is JSON
    that the client has asked for.  Call this after the tools and the response format are written.
    """
    found = draft.dialect.leaked_calls
    if not found or "tools" not in draft.body or len(to_json(draft.body["tools"])) > _MAX_TOOLS:
        return frozenset()
    config = objects.read_object(objects.get_raw(draft.request.fields, "output_config")) or {}
    if draft.prefill or "format" in config or "output_format" in draft.request.fields:
        return frozenset()
    if draft.body.get("tool_choice") == "none":
        return frozenset()
    return LEAKED_CALL_FORMATS if "all" in found else frozenset(found)
