"""A prompt that fits, but not together with the answer that is asked for.

Claude Code asks for 128,000 tokens whatever the window is, and servers that hold prompt and answer in one window refuse
that.  The refusal says how large the window is, and how long the prompt: with that the request is written once more,
for an answer that there is room for.

vLLM since early 2026 says less than it seems to.  It reads a prompt only as far as the answer leaves room and one token
further, so its "at least 769 input tokens" is always its window, less what was asked for, plus one
(vllm/renderers/params.py).  The estimate of the prompt decides then; where the refusal proves it wrong, a quarter of
what was asked for is tried, and so on down to LEAST.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MARGIN = 1.1
"""An estimate of the prompt may be this much too small."""

MIN_OUTPUT_TOKENS = 1024
"""Tokens of answer that are asked for however long the prompt seems.  A prompt that leaves less room is too long."""


class PromptCount(NamedTuple):
    """What a refusal says: the prompt's `tokens` (0: nothing), or with `is_lower_bound` that it has so many at
    least; the `window` for prompt and answer together, and the `output` tokens that were asked for (0: not said)."""

    tokens: int = 0
    is_lower_bound: bool = False
    window: int = 0
    output: int = 0

    def estimate(self, guess: int) -> int:
        """The prompt's tokens, as far as is known."""
        return max(self.tokens, guess) if self.is_lower_bound or not self.tokens else self.tokens


NO_PROMPT_COUNT = PromptCount()

_COUNTED = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL | re.ASCII)
    for pattern in (
        # vLLM until 2025
        r"maximum context length is (?P<window>\d{1,9}) tokens and your request has (?P<tokens>\d{1,9}) input tokens"
        r"(?: \((?P<output>\d{1,9}) >)?",
        # OpenAI, Azure, DeepSeek, OpenRouter
        r"maximum context length is (?P<window>\d{1,9}) tokens.{0,80}?\((?P<tokens>\d{1,9})"
        r" (?:in the messages|of text input)(?:, (?P<tools>\d{1,9}) of tool input)?, (?P<output>\d{1,9}) in the"
        r" (?:completion|output)",
        # vLLM
        r"maximum context length is (?P<window>\d{1,9}) tokens.{0,40}?requested (?P<output>\d{1,9}) output tokens and"
        r" your prompt contains (?P<is_lower_bound>at least )?(?P<tokens>\d{1,9}) input tokens",
        r"passed (?P<tokens>\d{1,9}) input (?P<unit>tokens|characters) and requested (?P<output>\d{1,9}) output tokens"
        r".{0,60}?only (?P<window>\d{1,9}) tokens",
        r"max_(?:completion_)?tokens=(?P<output>\d{1,9}) ?cannot be greater than max_model_len=(?:max_total_tokens=)?"
        r"(?P<window>\d{1,9})",
    )
)


def find_sentence(text: str) -> re.Match[str] | None:
    """Where a refusal says how large the window is, and how long the prompt."""
    return next((match for wording in _COUNTED if (match := wording.search(text)) is not None), None)


def read_prompt_count(text: str) -> PromptCount:
    """What a refusal says about the prompt; UNCOUNTED when it is about something else."""
    if (match := find_sentence(text)) is None:
        return NO_PROMPT_COUNT
    said = match.groupdict()
    tokens, tools, window, output = (int(said.get(name) or 0) for name in ("tokens", "tools", "window", "output"))
    further = window - output + 1
    if said.get("unit") == "characters":
        return PromptCount(further, True, window, output)
    return PromptCount(tokens + tools, bool(said.get("is_lower_bound")) or tokens == further, window, output)


def output_that_fits(window: int, estimate: int, counted: PromptCount) -> int:
    """The tokens of answer to ask for, with a prompt of about `estimate` tokens."""
    if counted.tokens and not counted.is_lower_bound:
        return max(window - counted.tokens, 1)
    longest = int(estimate * MARGIN)
    if counted.tokens >= longest:
        return max((window - counted.tokens) // 4, MIN_OUTPUT_TOKENS)
    return max(window - longest, MIN_OUTPUT_TOKENS)
