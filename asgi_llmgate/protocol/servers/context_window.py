"""Output that fits into a context window together with the prompt.

Claude Code asks for 128,000 output tokens whatever the model's window is, and a server that holds prompt and output in
one window refuses that.  Its error states the window and the length of the prompt; with these the request is written
once more, with the `max_tokens` that fits.

vLLM since early 2026 states less than it seems to.  It tokenizes the prompt only until it no longer fits beside the
requested output, so its "at least 769 input tokens" is always the window, minus the requested output, plus one
(vllm/renderers/params.py).  Then the gateway's estimate of the prompt decides; where the next error proves the estimate
wrong, a quarter of the room that is left is tried, and so on down to MIN_OUTPUT_TOKENS.
"""

from __future__ import annotations

import re
from typing import NamedTuple

ESTIMATE_MARGIN = 1.1
"""The prompt may be this many times as long as its estimate."""

MIN_OUTPUT_TOKENS = 1024
"""Output tokens that are asked for however long the prompt seems.  A prompt that leaves less room is too long."""


_CUT = 0.6
"""A count below this part of the estimate is no mistake of the estimate."""

_USUAL_WINDOWS = tuple(2**power for power in range(11, 18))
"""Context windows that Ollama is run with, 2,048 to 131,072 tokens: it cuts a prompt to the window, or to half of it
and 2 tokens (ollama/ollama#17427)."""


class PromptCount(NamedTuple):
    """What an error states, in tokens; 0 stands for a number that it does not state.

    `tokens` is the length of the prompt, or with `is_lower_bound` only the least that it can be.  `window` is the limit
    for prompt and output together, `output` the number of output tokens that was asked for.
    """

    tokens: int = 0
    is_lower_bound: bool = False
    window: int = 0
    output: int = 0

    def estimate(self, guess: int) -> int:
        """The best estimate of the prompt's tokens; `guess` is one without this count."""
        return max(self.tokens, guess) if self.is_lower_bound or not self.tokens else self.tokens


NO_PROMPT_COUNT = PromptCount()


def read_prompt_count(text: str) -> PromptCount:
    """The numbers of an error text; NO_PROMPT_COUNT for an error about something else."""
    from asgi_llmgate.protocol.servers.wordings.overflow import WINDOWS  # with the first error, as `upstream_errors`

    match = next((match for pattern in WINDOWS if (match := pattern.search(text)) is not None), None)
    return NO_PROMPT_COUNT if match is None else prompt_count_of(match)


def prompt_count_of(match: re.Match[str]) -> PromptCount:
    """The numbers in a match of one of `wordings.overflow.WINDOWS`."""
    groups = match.groupdict()
    tokens, tools, window, output = (int(groups.get(name) or 0) for name in ("tokens", "tools", "window", "output"))
    least = window - output + 1
    if groups.get("unit") == "characters":
        return PromptCount(least, True, window, output)
    # vLLM: `least` tokens do not state the length of the prompt, whether it writes "at least" or not (see above).
    return PromptCount(tokens + tools, bool(groups.get("is_lower_bound")) or tokens == least, window, output)


def output_that_fits(window: int, estimate: int, counted: PromptCount) -> int:
    """The output tokens to ask for, for a prompt of about `estimate` tokens; at least 1."""
    if counted.tokens and not counted.is_lower_bound:
        return max(window - counted.tokens, 1)
    longest = int(estimate * ESTIMATE_MARGIN)
    if counted.tokens >= longest:
        # The server has proved the estimate too small.
        return max((window - counted.tokens) // 4, MIN_OUTPUT_TOKENS)
    return max(window - longest, MIN_OUTPUT_TOKENS)


def is_cut(counted: int, estimate: int) -> bool:
    """Whether a server has probably cut a prompt of about `estimate` tokens to its context window, without an error.

    Ollama does that, from the front: the model then lacks its instructions and tools (ollama/ollama#3839, #17889).
    `counted` is the server's count of the prompt, which must include cached tokens; `estimate` is one of the text only.
    """
    near = any(window * 0.9 <= counted <= window + 8 for window in _USUAL_WINDOWS)
    return near and counted < estimate * _CUT
