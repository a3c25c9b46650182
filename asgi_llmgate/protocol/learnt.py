"""What an upstream teaches by refusing: a field that it does not know, a limit that nobody has told us.

A 400 that says so is remembered for that upstream and model, and the request is written once more with the lesson.  The
wordings are the servers' own (OpenAI, Azure, vLLM, OpenRouter, DeepSeek, Mistral, Groq, Ollama); one that is not listed
teaches nothing, and the caller gets the error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from asgi_llmgate.protocol import room
from asgi_llmgate.protocol.dialects import EFFORTS, Effort
from asgi_llmgate.protocol.lacks import Lack, lacks


@dataclass(frozen=True, slots=True)
class Learnt:
    """The lessons of one upstream and model.  `refused` are fields of the chat request that it does not take, `lacking`
    is what the model does not have, `efforts` are the only values of `reasoning_effort` that it knows,
    `max_tokens_field` what it wants in place of the other; the limits of tokens and images are each for one request."""

    refused: frozenset[str] = frozenset()
    lacking: frozenset[Lack] = frozenset()
    efforts: tuple[Effort, ...] = ()
    max_tokens_field: str = ""
    max_output_tokens: int | None = None
    context_window: int | None = None
    max_images: int | None = None


NOTHING = Learnt()

_FIELD = (
    r"(?:\b(stream_options|parallel_tool_calls|reasoning_effort|chat_template_kwargs|prompt_cache_key|top_[kp])\b"
    r"|['`](temperature|stop)['`])"
)
_COMPLAINT = (
    r"(?:not support|unsupported|not (?:permitted|allowed)|unrecognized|unknown|unexpected"
    r"|extra_forbidden|literal_error)"  # pydantic's
)
_REFUSED = re.compile(rf"{_FIELD}.{{0,60}}?{_COMPLAINT}|{_COMPLAINT}.{{0,60}}?{_FIELD}", re.IGNORECASE | re.DOTALL)
"""Both words close together: servers also quote whole requests, which name every field, in errors about another."""

_SAID_OTHERWISE = (
    ("does not support thinking", "reasoning_effort"),
    ("chat_template is not supported", "chat_template_kwargs"),
    ("Reasoning is mandatory", "reasoning"),
)

_EFFORTS = re.compile(  # OpenAI; vLLM
    r"reasoning_effort\b.{0,80}?(?:supported values are:|input should be) ((?:['`]\w+['`](?:,? and |,? or |, )?)+)",
    re.IGNORECASE | re.DOTALL,
)

_OTHER_FIELD = re.compile(r"use ['`]?(max_tokens|max_completion_tokens)['`]? instead", re.IGNORECASE)
"""OpenAI and Azure of reasoning models, whose deployments there have any name."""

_OUTPUT_LIMIT = re.compile(
    r"supports? at most (\d+) (?:completion|output) tokens"
    r"|max_tokens: \d+ > (\d+)"
    r"|max_(?:completion_)?tokens\b.{0,60}?\[1, ?(\d+)\]"
    r"|max_(?:completion_)?tokens\b.{0,60}?(?:less than or equal to|<=|at most|cannot exceed) ?[`']?(\d+)",
    re.IGNORECASE | re.DOTALL,
)
_MOST_IMAGES = re.compile(r"at most ([1-9]\d?) image", re.IGNORECASE)
"""vLLM's `--limit-mm-per-prompt`.  The newest are shown then: a client never takes back an image that it has sent."""

_LOOK_AT = 4000
"""Characters of an error text that are searched."""


def learn(status: int, error_text: str, known: Learnt) -> Learnt | None:
    """What an upstream's refusal adds to what is `known`, or None when another try would meet the same refusal."""
    lesson = replace(known, lacking=known.lacking | lacks(status, error_text))
    if status not in (400, 422):
        return None if lesson == known else lesson
    text = error_text[:_LOOK_AT]
    efforts = _efforts(text)
    lesson = replace(
        lesson,
        refused=known.refused | (frozenset() if efforts else _refused(text)),
        efforts=efforts or known.efforts,
        max_tokens_field=_other_field(text) or known.max_tokens_field,
        max_output_tokens=_output_limit(text) or known.max_output_tokens,
        context_window=_window(text) or known.context_window,
        max_images=_most_images(text) or known.max_images,
    )
    return None if lesson == known else lesson


def _refused(text: str) -> frozenset[str]:
    found = {name.lower() for match in _REFUSED.finditer(text) for name in match.groups() if name}
    return frozenset(found.union(field for wording, field in _SAID_OTHERWISE if wording in text))


def _efforts(text: str) -> tuple[Effort, ...]:
    match = _EFFORTS.search(text)
    return tuple(effort for effort in EFFORTS if match is not None and re.search(rf"\b{effort}\b", match[1]))


def _other_field(text: str) -> str:
    match = _OTHER_FIELD.search(text)
    return match[1].lower() if match else ""


def _output_limit(text: str) -> int | None:
    match = _OUTPUT_LIMIT.search(text)
    return None if match is None or match.lastindex is None else int(match[match.lastindex])


def _most_images(text: str) -> int | None:
    match = _MOST_IMAGES.search(text)
    return None if match is None else int(match[1])


def _window(text: str) -> int | None:
    counted = room.count(text)
    return counted.window if counted.tokens < counted.window else None
