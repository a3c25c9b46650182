"""Rows about fields beside the conversation that a server does not accept, or accepts with other values only."""

from __future__ import annotations

import re

from asgi_llmgate.protocol.servers.columns import EFFORTS
from asgi_llmgate.protocol.servers.corrections.capabilities import missing
from asgi_llmgate.protocol.servers.corrections.changes import Corrections
from asgi_llmgate.protocol.servers.corrections.rows import Row
from asgi_llmgate.protocol.servers.wordings import fields
from asgi_llmgate.protocol.servers.wordings.flags import FLAGS
from asgi_llmgate.protocol.servers.wordings.output_limits import NO_MAX_COMPLETION_TOKENS, OTHER_MAX_TOKENS_FIELD

_LEAST_ABOVE = 0.01
"""How far above an excluded number the lowest temperature is."""
_HIGHEST = 2.0
"""The highest temperature of any server."""


def refuse(*names: str) -> Corrections:
    """These fields are not accepted."""
    return Corrections(refused_fields=frozenset(names))


def _efforts(match: re.Match[str]) -> Corrections:
    said = tuple(effort for effort in EFFORTS if re.search(rf"\b{effort}\b", match["telling"]))
    # Groq has "none" and "default": the default is no field.
    return refuse("reasoning_effort") if said == ("none",) else Corrections(efforts=said)


def _temperatures(match: re.Match[str]) -> Corrections:
    groups = match.groupdict()
    low, high = float(groups.get("low") or 0), float(groups.get("high") or _HIGHEST)
    return Corrections(temperatures=(low + _LEAST_ABOVE if (groups.get("open") or "[") != "[" else low, high))


def _field(match: re.Match[str]) -> Corrections:
    name = next(filter(None, match.group(*fields.FIELD_GROUPS))).lower()
    return refuse(fields.OTHER_NAMES.get(name, name))


SAFEGUARDS = Row(
    topic="safeguards",
    patterns=(fields.REFUSED_SAFEGUARDS,),
    change=refuse("safeguards"),
    keeps="other fields of a request that is forwarded",
)
"""The one field of the client's that the gateway can respond to in place of a server of the same wire."""

ROWS: tuple[Row, ...] = (
    Row(
        topic="max_tokens",
        patterns=OTHER_MAX_TOKENS_FIELD,
        change=lambda match: Corrections(max_tokens_field=match["telling"].lower()),
        keeps="the limit itself, which goes into the other field",
    ),
    Row(
        topic="max_completion_tokens",
        patterns=NO_MAX_COMPLETION_TOKENS,
        change=Corrections(max_tokens_field="max_tokens"),
        keeps="the limit itself, which goes into the other field",
    ),
    Row(
        topic="reasoning_effort",
        patterns=fields.KNOWN_EFFORTS,
        change=_efforts,
        keeps="the field: the nearest value that is accepted is sent",
        final=True,
    ),
    Row(
        topic="reasoning_effort beside tools",
        patterns=fields.THINKING_WITH_TOOLS,
        change=missing("thinking_with_tools"),
        keeps="the effort of requests without tools",
        final=True,
    ),
    Row(
        topic="enable_thinking",
        patterns=fields.UNSTREAMED_THINKING,
        change=missing("unstreamed_thinking"),
        keeps="streams",
        final=True,
    ),
    Row(
        topic="temperature and top_p",
        patterns=fields.ONE_OF_TWO,
        change=refuse("top_p"),
        keeps="temperature",
        final=True,
    ),
    Row(
        topic="temperature",
        patterns=fields.TEMPERATURES,
        change=_temperatures,
        keeps="the temperature: the nearest one that is accepted is sent",
        final=True,
    ),
    Row(
        topic="one temperature",
        patterns=fields.ONE_TEMPERATURE,
        change=refuse("temperature"),
        keeps="other fields",
        final=True,
    ),
    Row(
        topic="stop",
        patterns=fields.STOP_LIMITS,
        change=lambda match: Corrections(max_stops=int(match["telling"])),
        keeps="the first stop sequences, as many as are accepted; the record says that others are missing",
        final=True,
    ),
    Row(
        topic="a field",
        patterns=(fields.REFUSED_FIELD,),
        change=_field,
        keeps="fields that a quoted request or a list of expected fields names beside the refused one",
    ),
    *(
        Row(
            topic=field,
            patterns=(re.compile(re.escape(wording), FLAGS),),
            change=refuse(field),
            keeps="fields that other servers have for the same",
        )
        for wording, field in fields.REFUSED_FIELD_TEXTS
    ),
)
