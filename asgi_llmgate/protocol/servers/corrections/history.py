"""Rows about what a history has of other responses: the ids of calls, signatures, reasoning."""

from __future__ import annotations

import re
from functools import partial

from asgi_llmgate.protocol.servers.corrections.capabilities import missing
from asgi_llmgate.protocol.servers.corrections.changes import Corrections
from asgi_llmgate.protocol.servers.corrections.rows import Row
from asgi_llmgate.protocol.servers.wordings import history as wordings

_row = partial(Row, statuses=frozenset({400, 404, 422, 500}))


def _shorter_ids(match: re.Match[str]) -> Corrections:
    longest = int(match["telling"])
    return missing("long_ids" if longest >= 64 else "ids_over_40" if longest >= 40 else "free_ids")


ROWS: tuple[Row, ...] = (
    _row(
        topic="ids of nine characters",
        patterns=wordings.NINE_CHARACTERS,
        change=missing("free_ids"),
        keeps="ids that have the shape already",
    ),
    _row(
        topic="length of ids",
        patterns=wordings.ID_LENGTH,
        change=_shorter_ids,
        keeps="ids that are short enough",
    ),
    _row(
        topic="characters of ids",
        patterns=wordings.ID_ALPHABET,
        change=missing("long_ids"),
        keeps="ids of letters and digits",
    ),
    _row(
        topic="ids twice",
        patterns=wordings.REPEATED_IDS,
        change=missing("repeated_ids"),
        keeps="ids that come once",
    ),
    # First, because OpenRouter quotes the sentence of the next row.
    _row(
        topic="reasoning details",
        patterns=wordings.CALLS_WITHOUT_DETAILS,
        change=missing("calls_without_details"),
        keeps="details that the server has sent",
    ),
    _row(
        topic="signatures of calls",
        patterns=wordings.UNSIGNED_CALLS,
        change=missing("unsigned_calls"),
        keeps="signatures that the server has sent",
    ),
    _row(
        topic="reasoning of calls",
        patterns=wordings.CALLS_WITHOUT_REASONING,
        change=missing("calls_without_reasoning"),
        keeps="reasoning that the client has sent back",
    ),
    _row(
        topic="reasoning in the history",
        patterns=wordings.REASONING_IN_HISTORY,
        change=missing("reasoning_in_history"),
        keeps="the texts and calls of the same messages",
    ),
)
