"""Rows about numbers: output tokens, the context window, images."""

from __future__ import annotations

import re

from asgi_llmgate.protocol.servers.context_window import prompt_count_of
from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Corrections
from asgi_llmgate.protocol.servers.corrections.rows import Row
from asgi_llmgate.protocol.servers.wordings.output_limits import (
    IMAGE_LIMIT,
    NOT_OUTPUT,
    OUTPUT_LIMITS,
    OUTPUT_LIMITS_EXCLUSIVE,
    UNSTREAMED_OUTPUT,
)
from asgi_llmgate.protocol.servers.wordings.overflow import WINDOWS


def _window(match: re.Match[str]) -> Corrections:
    counted = prompt_count_of(match)
    # A prompt that is longer than the whole window fits with no output: nothing to correct.
    return Corrections(context_window=counted.window) if counted.tokens < counted.window else NO_CORRECTIONS


ROWS: tuple[Row, ...] = (
    Row(
        topic="output tokens, not streamed",
        patterns=UNSTREAMED_OUTPUT,
        change=lambda match: Corrections(max_unstreamed_output=int(match["telling"])),
        keeps="streams",
        final=True,
    ),
    Row(
        topic="output tokens",
        patterns=OUTPUT_LIMITS,
        change=lambda match: Corrections(max_output_tokens=int(match["telling"])),
        keeps="other calls, where the limit is smaller than that of any model",
        unless=NOT_OUTPUT,
    ),
    Row(
        topic="output tokens, exclusive",
        patterns=OUTPUT_LIMITS_EXCLUSIVE,
        change=lambda match: Corrections(max_output_tokens=int(match["telling"]) - 1),
        keeps="other calls, where the limit is smaller than that of any model",
        unless=NOT_OUTPUT,
    ),
    Row(
        topic="images",
        patterns=(IMAGE_LIMIT,),
        change=lambda match: Corrections(max_images=int(match[1])),
        keeps="the newest images, as many as are allowed",
    ),
    Row(
        topic="context window",
        patterns=WINDOWS,
        change=_window,
        keeps="a request whose prompt alone is too long: the client shortens it",
    ),
)
