"""Rows about what the gateway's account at the model server allows for one request."""

from __future__ import annotations

import re

from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Corrections
from asgi_llmgate.protocol.servers.corrections.rows import Row
from asgi_llmgate.protocol.servers.wordings.accounts import AFFORDABLE, OVER_RATE

MIN_AFFORDABLE = 1024
"""Tokens of output.  For an account that affords less, "no quota" is the true error."""


def _affordable(match: re.Match[str]) -> Corrections:
    tokens = int(match["telling"])
    return Corrections(affordable_tokens=tokens) if tokens >= MIN_AFFORDABLE else NO_CORRECTIONS


def _tokens_of_a_minute(match: re.Match[str]) -> Corrections:
    limit = int(match["limit"])
    # The tokens that a request may need at most are counted in advance: those of the prompt, and `max_tokens`.
    return Corrections(context_window=limit) if int(match["prompt"]) > limit else NO_CORRECTIONS


ROWS: tuple[Row, ...] = (
    Row(
        topic="credit",
        patterns=(AFFORDABLE,),
        change=_affordable,
        keeps="other calls: the credit changes with each one",
        statuses=frozenset({402}),
    ),
    Row(
        topic="tokens of a minute",
        patterns=(OVER_RATE,),
        change=_tokens_of_a_minute,
        keeps="a limit that is reached now, and that a wait helps against",
        statuses=frozenset({413, 429}),
    ),
)
