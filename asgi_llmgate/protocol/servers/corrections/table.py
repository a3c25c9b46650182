"""The table of corrections, and the search for its sentences in an error."""

from __future__ import annotations

from asgi_llmgate.protocol.servers.corrections import (
    accounts,
    capabilities,
    conversation,
    history,
    limits,
    parameters,
    tools,
)
from asgi_llmgate.protocol.servers.corrections.changes import Correction, Corrections
from asgi_llmgate.protocol.servers.corrections.rows import Row, Sentence, Span, overlaps
from asgi_llmgate.protocol.servers.errors.quotations import telling_phrases

ROWS: tuple[Row, ...] = (
    *capabilities.ROWS,
    *conversation.ROWS,
    *history.ROWS,
    *parameters.ROWS,
    *limits.ROWS,
    *accounts.ROWS,
    *tools.ROWS,
)
"""All rows.  The order counts for two rows that read the same words: the first one is tried first."""


FORWARDED_ROWS: tuple[Row, ...] = (parameters.SAFEGUARDS,)
"""Those for requests that are forwarded, whose bytes are the client's."""


def find_corrections(status: int, error_text: str, rows: tuple[Row, ...] = ROWS) -> tuple[Correction, ...]:
    """The corrections that an error asks for, in the order of its text: a server's own words precede its quotations."""
    found: list[Sentence] = []
    read: list[Span] = []
    for row in rows:
        sentences = [sentence for sentence in row.find(status, error_text) if not overlaps(sentence.place, read)]
        found += sentences
        if row.final:
            read += [sentence.place for sentence in sentences]
    first: dict[Corrections, Sentence] = {}
    for sentence in sorted(found, key=lambda sentence: sentence.place):
        first.setdefault(sentence.changes, sentence)
    return tuple(
        Correction(changes, telling_phrases(error_text, sentence.place, sentence.telling))
        for changes, sentence in first.items()
    )
