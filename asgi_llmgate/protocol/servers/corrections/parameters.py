"""Rows about fields beside the conversation that a server does not accept, or accepts with other values only."""

from __future__ import annotations

import re

from asgi_llmgate.protocol.servers.columns import EFFORTS
from asgi_llmgate.protocol.servers.corrections.changes import Corrections
from asgi_llmgate.protocol.servers.corrections.rows import Row
from asgi_llmgate.protocol.servers.wordings.fields import KNOWN_EFFORTS, REFUSED_FIELD, REFUSED_FIELD_TEXTS
from asgi_llmgate.protocol.servers.wordings.flags import FLAGS
from asgi_llmgate.protocol.servers.wordings.output_limits import OTHER_MAX_TOKENS_FIELD


def refuse(*names: str) -> Corrections:
    """These fields are not accepted."""
    return Corrections(refused_fields=frozenset(names))


def _efforts(match: re.Match[str]) -> Corrections:
    return Corrections(efforts=tuple(effort for effort in EFFORTS if re.search(rf"\b{effort}\b", match["telling"])))


def _field(match: re.Match[str]) -> Corrections:
    return refuse(next(group for group in match.group(1, 2, 5, 6) if group).lower())


ROWS: tuple[Row, ...] = (
    Row(
        topic="max_tokens",
        patterns=(OTHER_MAX_TOKENS_FIELD,),
        change=lambda match: Corrections(max_tokens_field=match[1].lower()),
        keeps="the limit itself, which goes into the other field",
    ),
    Row(
        topic="reasoning_effort",
        patterns=(KNOWN_EFFORTS,),
        change=_efforts,
        keeps="the field: the nearest value that is accepted is sent",
        final=True,
    ),
    Row(
        topic="a field",
        patterns=(REFUSED_FIELD,),
        change=_field,
        keeps="fields that a quoted request names beside the refused one",
    ),
    *(
        Row(
            topic=field,
            patterns=(re.compile(re.escape(wording), FLAGS),),
            change=refuse(field),
            keeps="fields that other servers have for the same",
        )
        for wording, field in REFUSED_FIELD_TEXTS
    ),
)
