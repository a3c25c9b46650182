"""What an upstream teaches by refusing: a field that it does not know, a limit that nobody has told us.

A 400 that says so is remembered for that upstream and model, and the request is written once more with the lesson.  The
wordings are the servers' own (OpenAI, Azure, vLLM, OpenRouter, DeepSeek, Mistral, Groq, Ollama); one that is not listed
teaches nothing, and the caller gets the error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Learnt:
    """The lessons of one upstream and model.  `refused` are fields of the chat request that it does not take; the
    limits are in tokens."""

    refused: frozenset[str] = frozenset()
    max_output_tokens: int | None = None
    context_window: int | None = None


NOTHING = Learnt()

_FIELD = r"\b(stream_options|parallel_tool_calls|reasoning_effort|chat_template_kwargs|prompt_cache_key|top_k)\b"
_COMPLAINT = r"(?:not support|unsupported|not (?:permitted|allowed)|unrecognized|unknown|unexpected|extra_forbidden)"
_REFUSED = re.compile(rf"{_FIELD}.{{0,60}}?{_COMPLAINT}|{_COMPLAINT}.{{0,60}}?{_FIELD}", re.IGNORECASE | re.DOTALL)
"""Both words close together: servers also quote whole requests, which name every field, in errors about another."""

_SAID_OTHERWISE = (
    ("does not support thinking", "reasoning_effort"),
    ("chat_template is not supported", "chat_template_kwargs"),
    ("Reasoning is mandatory", "reasoning"),
)

_OUTPUT_LIMIT = re.compile(
    r"supports? at most (\d+) (?:completion|output) tokens"
    r"|max_tokens: \d+ > (\d+)"
    r"|max_(?:completion_)?tokens\b.{0,60}?\[1, ?(\d+)\]"
    r"|max_(?:completion_)?tokens\b.{0,60}?(?:less than or equal to|<=|at most|cannot exceed) ?[`']?(\d+)",
    re.IGNORECASE | re.DOTALL,
)
_NO_ROOM = (
    re.compile(r"maximum context length is (?P<window>\d+) tokens and your request has (?P<input>\d+) input tokens"),
    re.compile(
        r"maximum context length is (?P<window>\d+) tokens.{0,80}?\((?P<input>\d+)"
        r" (?:in the messages|of text input)(?:, (?P<tools>\d+) of tool input)?, \d+ in the (?:completion|output)",
        re.DOTALL,
    ),
    re.compile(
        r"passed (?P<input>\d+) input tokens and requested \d+ output tokens.{0,60}?only (?P<window>\d+) tokens",
        re.DOTALL,
    ),
)
"""The input fits, the input with `max_tokens` does not."""

_LOOK_AT = 4000
"""Characters of an error text that are searched."""


def learn(status: int, error_text: str, known: Learnt) -> Learnt | None:
    """What an upstream's refusal adds to what is `known`, or None when another try would meet the same refusal."""
    if status not in (400, 422):
        return None
    text = error_text[:_LOOK_AT]
    lesson = replace(
        known,
        refused=known.refused | _refused(text),
        max_output_tokens=_output_limit(text) or known.max_output_tokens,
        context_window=_window(text) or known.context_window,
    )
    return None if lesson == known else lesson


def counted(error_text: str) -> int:
    """The tokens that the upstream counted in the refused prompt, 0 when it does not say: the best estimate there is
    for the second try."""
    return _room(error_text[:_LOOK_AT])[1]


def _refused(text: str) -> frozenset[str]:
    found = {(match[1] or match[2]).lower() for match in _REFUSED.finditer(text)}
    return frozenset(found.union(field for wording, field in _SAID_OTHERWISE if wording in text))


def _output_limit(text: str) -> int | None:
    match = _OUTPUT_LIMIT.search(text)
    return None if match is None or match.lastindex is None else int(match[match.lastindex])


def _window(text: str) -> int | None:
    window, prompt = _room(text)
    return window if prompt < window else None


def _room(text: str) -> tuple[int, int]:
    """The context window and the tokens of the prompt; zeros when the text is about something else."""
    for wording in _NO_ROOM:
        if (match := wording.search(text)) is not None:
            said = match.groupdict()
            return int(said["window"]), int(said["input"]) + int(said.get("tools") or 0)
    return 0, 0
