"""Verdicts on tool calls: the field `safeguards` of a request, and `safeguard_results` of a response.

    request     {"safeguards": [{"type": "dangerous_tool_use", "classifier_context": {...}}], ...}
    response    "safeguard_results": [{"type": "dangerous_tool_use", "status": {"type": "available", "tool_uses": {
                    "toolu_1": {"type": "evaluated", "outcome": "not_flagged"},
                    "toolu_2": {"type": "evaluated", "outcome": "flagged", "explanation": "..."},
                    "toolu_3": {"type": "unavailable", "reason": "..."}}}}]

Claude Code sends the field in auto mode.  Then EVERY response must have results, one without calls too: a response
without them ends the server's part in the session.  A result of a wrong form denies all its calls.  The results are in
the `delta` of `message_delta`, or at the top level of a Message; Claude Code sees them nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from asgi_llmgate.clipping import clip
from asgi_llmgate.exchange_values import MAX_EXPLANATION, ToolUse, Verdict
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import Fields
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS

TYPE = "dangerous_tool_use"
"""The one type that is known."""

BETA = "dangerous-tool-use"
"""How the value of the header `anthropic-beta` begins that comes with the field."""

NO_TOOL_USES = b'[{"type":"dangerous_tool_use","status":{"type":"available","tool_uses":{}}}]'
"""The results of a response without tool calls."""

_MAX_SERVER_RESULTS = 256 * 1024
"""Bytes of a model server's own results; larger ones count as none."""

_RANKS = ("pass", "unavailable", "flag")
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


def one_line(text: str) -> str:
    """A text as one line of at most MAX_EXPLANATION characters, which a terminal can show."""
    return clip(" ".join(text[: 4 * MAX_EXPLANATION].split()), MAX_EXPLANATION)


def results_json(verdicts: Sequence[Verdict]) -> bytes:
    """The results of a response, in which ids may be repeated: of their verdicts the strictest counts."""
    return b'[{"type":"dangerous_tool_use","status":{"type":"available","tool_uses":%b}}]' % _tool_uses({}, verdicts)


def amended_results(results: bytes, verdicts: Sequence[Verdict]) -> bytes:
    """A model server's own results, which `server_verdicts` can read, with other verdicts for some calls."""
    entries = objects.read_objects(Raw(results))
    written = []
    for entry in entries:
        if objects.read_str(entry["type"]) == TYPE:
            status = objects.read_object(entry["status"]) or {}
            own = objects.read_object(status.get("tool_uses")) or {}
            status["tool_uses"] = Raw(_tool_uses(own, verdicts))
            entry["status"] = Raw(objects.to_json(status))
        written.append(objects.to_json(entry))
    return b"[%b]" % b",".join(written)


def _tool_uses(own: Mapping[str, Raw], verdicts: Sequence[Verdict]) -> bytes:
    strictest: dict[str, Verdict] = {}
    for verdict in verdicts:
        other = strictest.get(verdict.tool_use.id)
        if other is None or _RANKS.index(verdict.outcome) > _RANKS.index(other.outcome):
            strictest[verdict.tool_use.id] = verdict
    return objects.to_json({**own, **{call_id: Raw(_result(verdict)) for call_id, verdict in strictest.items()}})


def _result(verdict: Verdict) -> bytes:
    if verdict.outcome == "pass":
        return b'{"type":"evaluated","outcome":"not_flagged"}'
    text = objects.to_json(one_line(verdict.explanation) or "no reason was given")
    if verdict.outcome == "flag":
        return b'{"type":"evaluated","outcome":"flagged","explanation":%b}' % text
    return b'{"type":"unavailable","reason":%b}' % text


class _Status(Struct, gc=False):
    type: str
    tool_uses: Any = None


class _Entry(Struct, gc=False):
    type: str
    status: Any = None


_decode_entries = msgspec.json.Decoder(list[_Entry]).decode


def server_verdicts(results: bytes, tool_uses: Sequence[ToolUse]) -> Mapping[str, Verdict] | None:
    """What a model server has decided itself, by the id of the tool use; None where its results have a wrong form.

    Calls that it could not decide about, or whose result a client would not read, are left out.
    """
    if not results or len(results) > _MAX_SERVER_RESULTS:
        return None
    try:
        (entry,) = (entry for entry in _decode_entries(results) if entry.type == TYPE)
        status = msgspec.convert(entry.status, _Status)
        if status.type != "available":
            return None
        by_id = msgspec.convert(status.tool_uses, dict[str, Any])
    except DECODE_ERRORS:
        return None
    read = ((use, _server_verdict(use, by_id.get(use.id))) for use in tool_uses)
    return {use.id: verdict for use, verdict in read if verdict is not None}


def _server_verdict(use: ToolUse, result: Any) -> Verdict | None:
    match result:
        case {"type": "unavailable"}:
            return None
        case {"type": "evaluated", "outcome": "not_flagged"}:
            explanation = result.get("explanation")
            outcome: Literal["pass", "flag"] = "pass"
        case {"type": "evaluated", "outcome": "flagged"}:
            explanation = result.get("explanation")
            outcome = "flag"
        case {"type": str(kind)} if kind != "evaluated":
            # `skipped`, with which Claude Code does not run the call, or one that is newer than this gateway.
            explanation = f"the model server says: {kind}"
            outcome = "flag"
        case _:
            return None
    if explanation is not None and not isinstance(explanation, str):
        return None
    return Verdict(tool_use=use, outcome=outcome, explanation=one_line(explanation or ""), decided_by="server")
