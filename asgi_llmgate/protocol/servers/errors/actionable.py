"""Errors that clients act on, in the wording that they know.

Claude Code reads error texts: `prompt is too long: N tokens > M maximum` makes it compact the conversation, ``input
length and `max_tokens` exceed context limit: A + B > C`` makes it ask for less output, and
`capability_rejected: <token>` makes it leave a feature out and try again.  Model servers word these errors differently;
`wordings` has them all.
"""

from __future__ import annotations

import re

from asgi_llmgate.protocol.servers import context_window
from asgi_llmgate.protocol.servers.errors.quotations import own_words
from asgi_llmgate.protocol.servers.wordings.accounts import OVER_RATE
from asgi_llmgate.protocol.servers.wordings.capability_tokens import CAPABILITY_TOKENS, NO_CAPABILITY
from asgi_llmgate.protocol.servers.wordings.overflow import (
    NOT_OVERFLOW,
    OVERFLOW,
    OVERFLOW_IN_PARTS,
    OVERFLOWS,
)

UNNUMBERED = "prompt is too long (capability_rejected: prompt_too_long)"
"""The beginning of the message for a prompt that is too long, where the server does not state two numbers."""

_PART = re.compile(r"(\d+)([^\d,;]*)")
_SEARCHED = 400
"""Characters at the beginning of an error in which a feature is named."""

_COMMA_IN_NUMBER = re.compile(r"(?<=\d),(?=\d{3}\b)")


def overflow_message(text: str, codes: str = "") -> str | None:
    """The message for a prompt that does not fit into the context window; None for an error about something else.

    `text` is the server's message; `codes` are its error codes, separated by spaces.
    """
    lowered = _normalize(f"{text} {codes}")
    if NOT_OVERFLOW.search(lowered):
        return None
    numbers = _find_numbers(lowered)
    if numbers is not None:
        prompt, output, limit = numbers
        if prompt > limit:
            return _too_long(prompt, limit)
        # The client cannot usefully ask for less output than this, so it must shorten the prompt.
        if 0 < output <= context_window.MIN_OUTPUT_TOKENS:
            return _too_long(prompt, limit - output)
        if output:
            return f"input length and `max_tokens` exceed context limit: {prompt} + {output} > {limit}"
    elif not OVERFLOW.search(lowered):
        return None
    return f"{UNNUMBERED}: {text}"


def over_rate_message(text: str) -> str | None:
    """The message for one request with more tokens than the account may use in a minute; None for any other limit.

    No wait helps: the client must make the conversation shorter.
    """
    found = OVER_RATE.search(_normalize(text))
    if found is None or int(found["prompt"]) <= int(found["limit"]):
        return None
    return _too_long(int(found["prompt"]), int(found["limit"]))


def capability_token(text: str) -> str | None:
    """Claude Code's token for the feature that an error text refuses; None where it refuses none.

    Only the beginning counts, and only the server's own words: behind them it may quote the request.
    """
    lowered = own_words(text[:_SEARCHED]).lower()
    if NO_CAPABILITY.search(lowered):
        return None
    return next((token for pattern, token in CAPABILITY_TOKENS if pattern.search(lowered)), None)


def _normalize(text: str) -> str:
    return _COMMA_IN_NUMBER.sub("", text.lower())


def _too_long(prompt: int, limit: int) -> str:
    return f"prompt is too long: {prompt} tokens > {limit} maximum"


def _find_numbers(text: str) -> tuple[int, int, int] | None:
    """Tokens of the prompt, tokens of the output (0: not stated), and the limit for both together."""
    counted = context_window.read_prompt_count(text)
    if counted.tokens:
        return counted.tokens, counted.output, counted.window
    if found := OVERFLOW_IN_PARTS.search(text):
        prompt = output = 0
        for count, what in _PART.findall(found["parts"]):
            if "completion" in what or "output" in what:
                output += int(count)
            else:
                prompt += int(count)
        return prompt, output, int(found["limit"])
    for pattern in OVERFLOWS:
        if found := pattern.search(text):
            return int(found["prompt"]), int(found.groupdict().get("output") or 0), int(found["limit"])
    return None
