"""The field `safeguards` of a request: the client lets the server decide about tool calls.

    {"safeguards": [{"type": "dangerous_tool_use", "classifier_context": {...}}], ...}

Claude Code sends it in auto mode, and then expects results in every response to the request.
"""

from __future__ import annotations

from msgspec import Raw

from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import Fields

TYPE = "dangerous_tool_use"
"""The one type that is known."""

_NOTHING = Raw(b"{}")


def classifier_context(fields: Fields) -> Raw | None:
    """What the client says for the decisions, an object as JSON; None where the request does not ask for decisions.

    A field that cannot be read counts as none.
    """
    for found in objects.find_objects(fields.get("safeguards")):
        if objects.read_str(found.get("type")) == TYPE:
            context = found.get("classifier_context", _NOTHING)
            return context if objects.first_byte(context) == objects.BRACE else _NOTHING
    return None
