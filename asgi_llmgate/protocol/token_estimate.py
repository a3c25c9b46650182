"""Estimates the tokens of a request, before the model server has counted them.

There is no tokenizer here: each model has its own.  A request is measured in bytes of text.  How many bytes make a
token is learned per model from every response whose `usage` has the real number.  Escapes and the JSON between the
texts are counted too: their share hardly varies, so the learned number includes it.  Media are counted separately: they
are long in bytes and short in tokens.

Each caller has a rate of its own, because texts differ: a caller that sends only hashes would otherwise make everybody
else's prompts look three times as long, and their responses would be cut short.  A new caller gets the median of the
others.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

BYTES_PER_PROMPT_TOKEN = 3.6
"""For a model that has not counted yet: code and English text in JSON, rounded towards too many tokens.

A response is estimated with another number (`token_usage.BYTES_PER_OUTPUT_TOKEN`): its text comes without the JSON.
"""

IMAGE_TOKENS = 1500
"""Of an image of 1.15 megapixels, the size to which Anthropic scales larger ones down (width x height / 750)."""

PDF_BYTES_PER_TOKEN = 30
"""A page of 60 kB has 1,500 to 3,000 tokens."""

_WEIGHT = 0.25
"""Of the newest observation, against 1 - _WEIGHT of all earlier ones."""

_MIN_TEXT = 400
"""Bytes.  In a shorter request the tokens of the chat template weigh too much."""

_MAX_MODELS = 1000
"""Models whose rates are kept; names may come from callers."""

_MAX_CALLERS = 100
"""Callers whose rates are kept, for each model."""


class Size(NamedTuple):
    """A request's size: bytes of text, and tokens of images and documents."""

    text: int
    media: int


class Estimator:
    """Estimates per model and caller, from the responses that it observes.  Thread-safe."""

    def __init__(self) -> None:
        self._rates: dict[str, dict[Hashable, float]] = {}
        self._lock = threading.Lock()

    def estimate(self, size: Size, model: str = "", caller: Hashable = None) -> int:
        """The tokens of a request of this size, at least 1."""
        return tokens(size, self._rate(model, caller))

    def observe(self, model: str, size: Size, prompt_tokens: int, caller: Hashable = None) -> None:
        """Learn from a count of a model server: `prompt_tokens` are all tokens of the prompt, cached ones included."""
        if size.text < _MIN_TEXT or prompt_tokens <= size.media:
            return
        # A count outside of 1 to 10 bytes per token is a mistake of the server, or a prompt that was cut.
        observed = min(max(size.text / (prompt_tokens - size.media), 1.0), 10.0)
        with self._lock:
            rates = _put_last(self._rates, model, self._rates.get(model, {}), _MAX_MODELS)
            known = rates.get(caller, observed)
            _put_last(rates, caller, known + _WEIGHT * (observed - known), _MAX_CALLERS)

    def _rate(self, model: str, caller: Hashable) -> float:
        with self._lock:
            rates = self._rates.get(model)
            if rates is None:
                return BYTES_PER_PROMPT_TOKEN
            own = rates.get(caller)
            return _median(rates.values()) if own is None else own


def _median(values: Iterable[float]) -> float:
    # That of `statistics`, whose import takes 4 ms of the start of each process.
    ordered = sorted(values)
    half = len(ordered) // 2
    return (ordered[half] + ordered[~half]) / 2


def _put_last(values: dict[Any, Any], key: Hashable, value: Any, limit: int) -> Any:
    """Put a value at the end of a dict; the first one is dropped if there are too many."""
    values.pop(key, None)
    if len(values) >= limit:
        del values[next(iter(values))]
    values[key] = value
    return value


def tokens(size: Size, bytes_per_token: float = BYTES_PER_PROMPT_TOKEN) -> int:
    """The tokens of a size, at least 1."""
    return max(1, round(size.text / bytes_per_token) + size.media)
