"""Rows about what a model does not have at all: images, documents, JSON schemas.

A dialect describes a kind of server; the models behind it differ, and the settings may not say how.  If such an error
went to the client, the conversation would be over: Claude Code repeats the same request six times, and the image that
it has read stays in every later request.

Only a sentence about the model counts, not one about this image or that schema, and only at the beginning of the error.
What the request is without the capability says `servers.capabilities`.
"""

from __future__ import annotations

from functools import partial

from asgi_llmgate.protocol.servers.corrections.changes import Corrections
from asgi_llmgate.protocol.servers.corrections.rows import Row
from asgi_llmgate.protocol.servers.wordings.capabilities import IMAGE_FORMAT, MISSING_CAPABILITIES, Capability

_row = partial(Row, statuses=frozenset({400, 404, 422, 500}), searched=400)
"""404 is OpenRouter's, 500 llama.cpp's."""


def missing(*capabilities: Capability) -> Corrections:
    """The model does not have these."""
    return Corrections(missing=frozenset(capabilities))


ROWS: tuple[Row, ...] = (
    _row(
        topic="images",
        patterns=(MISSING_CAPABILITIES["images"],),
        change=missing("images"),
        keeps="images where only one is refused: its format, its size",
        unless=IMAGE_FORMAT,
    ),
    _row(
        topic="documents",
        patterns=(MISSING_CAPABILITIES["documents"],),
        change=missing("documents"),
        keeps="images",
    ),
    _row(
        topic="response_format",
        patterns=(MISSING_CAPABILITIES["json_schema"],),
        change=missing("json_schema"),
        keeps="the format where only this schema is refused",
    ),
)
