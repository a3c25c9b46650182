"""Limits of the model for one request: output tokens and the name of their field, and images."""

from __future__ import annotations

import re

from asgi_llmgate.protocol.servers.wordings.flags import FLAGS


def _compile(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, FLAGS) for pattern in patterns)


OTHER_MAX_TOKENS_FIELD = _compile(
    r"(?:use|in favor of) ['`]?(?P<telling>max_tokens|max_completion_tokens)\b['`]?(?: instead)?"
)
"""`corrections`: the name of the limit.  OpenAI and Azure say so for reasoning models; Azure's deployments have names
that do not tell the model."""

NO_MAX_COMPLETION_TOKENS = _compile(
    r"(?:unrecognized|unknown|unsupported|unexpected|extra_forbidden)(?:(?!\buse\b).){0,60}?\bmax_completion_tokens\b",
    r"\bmax_completion_tokens\b.{0,60}?(?:not permitted|not allowed|unrecognized|unknown|extra_forbidden)",
)
"""`corrections`: servers that know only `max_tokens`."""

_NAME = r"\bmax_?(?:completion_?|output_?|new_?)?tokens\b"
_COUNT = r"(?P<telling>\d{1,9})"
_NEAR = r"(?:(?!context|window|input|prompt|rate).){0,60}?"
_OUTPUT = r"(?:completion|output|new|generated)"

OUTPUT_LIMITS = _compile(
    rf"supports? (?:at most|up to|a maximum of) {_COUNT} {_OUTPUT} tokens",  # OpenAI, Azure, Cloudflare
    rf"max_tokens: \d+ > {_COUNT}",  # Anthropic
    rf"{_NAME}.{{0,60}}?[\[(] ?\d{{1,4}} ?, ?{_COUNT} ?\]",  # DeepSeek, DashScope, Qianfan
    rf"{_NAME}.{{0,60}}?between \d{{1,4}} and {_COUNT}\b",
    rf"{_NAME}.{{0,60}}?(?:less than or equal to|<=|at most|(?:cannot|can't|must not|may not|should not) "
    rf"(?:exceed|be (?:greater|larger|more|higher) than)|no (?:greater|larger|more) than|up to) ?[`']?{_COUNT}",
    rf"{_NAME}{_NEAR}(?:exceeds?|less than or equal to)\b{_NEAR}"
    rf"\b(?:limit|maximum|max|length|tokens)\b(?: of| is|:| =)? ?\(?{_COUNT}",  # Ollama's cloud, MiniMax
    rf"max(?:imum)? tokens must be less than or equal to {_COUNT}",  # Cohere
    rf"{_NAME}.{{0,100}}?expected a value <= {_COUNT}",  # Volcengine
    rf"maximum tokens you requested exceeds the model limit of {_COUNT}",  # Bedrock
    rf"maximum (?:allowed )?(?:number of )?{_OUTPUT} tokens(?: allowed)?(?: for \S{{1,60}})?(?: is|:| of) {_COUNT}",
)
"""`corrections`: the most output tokens of the model."""

OUTPUT_LIMITS_EXCLUSIVE = _compile(
    rf"{_NAME}.{{0,60}}?from \d+ \(inclusive\) to {_COUNT} \(exclusive\)",  # Vertex
    rf"{_NAME}.{{0,40}}?(?:must|should) be (?:strictly )?(?:less|smaller|lower) than {_COUNT}\b",
)
"""`corrections`: the first number that is too many."""

UNSTREAMED_OUTPUT = _compile(rf"max_tokens > {_COUNT} must have stream ?= ?true")  # Fireworks
"""`corrections`: the most output tokens of a response that is not streamed."""

NOT_OUTPUT = re.compile(r"`inputs` tokens|exceed context limit|context length", FLAGS)
"""The window is too small for prompt and output together: `wordings.overflow.WINDOWS`."""

IMAGE_LIMIT = re.compile(r"at most ([1-9]\d?) image", FLAGS)
"""`corrections`: images per request; vLLM's `--limit-mm-per-prompt`."""
