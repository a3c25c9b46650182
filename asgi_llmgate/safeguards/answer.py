"""The classifier's answer, read strictly: what is not exactly as asked for is no verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "verdicts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "reason": {"type": "string"},
                    "outcome": {"type": "string", "enum": ["pass", "flag"]},
                },
                "required": ["id", "reason", "outcome"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["verdicts"],
    "additionalProperties": False,
}
"""The JSON schema of the answer.  It is the same for all calls, so that servers compile it once.  The reason is first,
because a model decides better after it has said why."""

_FENCE = re.compile(r"```(?:json)?\n(.*)\n```", re.DOTALL)


class Answer(NamedTuple):
    """What the classifier has decided about one call."""

    outcome: Literal["pass", "flag"]
    reason: str


class Unreadable(ValueError):
    """The answer is not as it was asked for.  The text says how, and quotes nothing of it."""


def read_message(document: bytes) -> str:
    """The text of a Message.  Raises Unreadable for one that is not complete, or is more than text."""
    try:
        message = json.loads(document)
    except (ValueError, RecursionError):
        message = None
    match message:
        case {"stop_reason": "end_turn" | "stop_sequence", "content": [*blocks]}:
            return "".join(map(_read_text, blocks))
    raise Unreadable("the answer is not complete")


def _read_text(block: object) -> str:
    match block:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "thinking" | "redacted_thinking"}:
            return ""
    raise Unreadable("the answer is more than text")


def read_answer(text: str, ids: Collection[str]) -> Mapping[str, Answer]:
    """The decisions by the ids of the calls, of which some may be missing.

    One code fence around the whole answer is accepted: it is how many models write JSON.  Raises Unreadable for an
    answer that is anything else than the object that was asked for, or that is about other calls.
    """
    text = text.strip()
    if fenced := _FENCE.fullmatch(text):
        text = fenced[1]
    try:
        answer = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise Unreadable("the answer is not the JSON that was asked for") from None
    verdicts = answer.get("verdicts") if isinstance(answer, dict) and answer.keys() == {"verdicts"} else None
    if not isinstance(verdicts, list):
        raise Unreadable("the answer is not the JSON that was asked for")
    found: dict[str, Answer] = {}
    for each in verdicts:
        id, decision = _read_verdict(each)
        if id not in ids or id in found:
            raise Unreadable("the answer is about other calls")
        found[id] = decision
    return found


def _read_verdict(verdict: object) -> tuple[str, Answer]:
    match verdict:
        case {"id": str(id), "reason": str(reason), "outcome": "pass" | "flag" as outcome, **more} if not more:
            if outcome == "pass" or reason.strip():
                return id, Answer(outcome, reason)
    raise Unreadable("a verdict is not as it was asked for")


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")
    return found
