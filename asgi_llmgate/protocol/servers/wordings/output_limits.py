"""Limits of the model for one request: output tokens and the name of their field, and images."""

from __future__ import annotations

import re

from asgi_llmgate.protocol.servers.wordings.flags import FLAGS

OTHER_MAX_TOKENS_FIELD = re.compile(r"use ['`]?(max_tokens|max_completion_tokens)['`]? instead", FLAGS)
"""`corrections`: the name of the limit.  OpenAI and Azure say so for reasoning models; Azure's deployments have names
that do not tell the model."""

OUTPUT_LIMITS = tuple(
    re.compile(pattern, FLAGS)
    for pattern in (
        r"supports? at most (?P<telling>\d{1,9}) (?:completion|output) tokens",
        r"max_tokens: \d+ > (?P<telling>\d{1,9})",
        r"max_(?:completion_)?tokens\b.{0,60}?\[1, ?(?P<telling>\d{1,9})\]",
        r"max_(?:completion_)?tokens\b.{0,60}?(?:less than or equal to|<=|at most|cannot exceed) ?[`']?"
        r"(?P<telling>\d{1,9})",
    )
)
"""`corrections`: the most output tokens of the model."""

IMAGE_LIMIT = re.compile(r"at most ([1-9]\d?) image", FLAGS)
"""`corrections`: images per request; vLLM's `--limit-mm-per-prompt`."""
