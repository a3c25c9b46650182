"""How many tokens a request is, before anybody has counted them.

No tokenizer: the model server has its own, and the gateway need not hold one for each model.  A request is measured in
bytes of text, and the bytes that make a token are learnt per model from every answer whose `usage` says what the prompt
really was.  Escapes and the JSON between the texts are counted as they stand; they are a steady share, which the learnt
number takes in.  Media are counted apart: they are long in bytes and short in tokens.

Each caller has a rate of his own, since texts differ: one who sends nothing but digests would otherwise make
everybody's prompts look three times as long, and their answers be cut.  Who has not been heard of yet gets the middle
of the others.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from statistics import median
from typing import Any, NamedTuple

BYTES_PER_TOKEN = 3.6
"""Until a model has been heard of: code and English prose in JSON, rounded towards too many tokens."""

IMAGE_TOKENS = 1500
"""About 1.15 megapixels, the size to which Anthropic scales an image down (width x height / 750)."""
PDF_BYTES_PER_TOKEN = 30
"""A page of 60 kB is 1,500 to 3,000 tokens."""

_WEIGHT = 0.25
"""Of the newest observation."""
_TOO_SMALL = 400
"""Bytes of text below which the template's own tokens would be learnt, not the model's."""
_MODELS = 1000
"""More are not remembered; names may come from callers."""
_CALLERS = 100
"""More of one model are not remembered."""


class Size(NamedTuple):
    """A request's size: bytes of text, and tokens of images and documents."""

    text: int
    media: int


class Estimator:
    """Estimates per model and caller, better with every answer that is observed.  Also for several threads."""

    def __init__(self) -> None:
        self._rates: dict[str, dict[Hashable, float]] = {}
        self._lock = threading.Lock()

    def estimate(self, size: Size, model: str = "", caller: Hashable = None) -> int:
        """Tokens of a request of this size for a model, at least 1."""
        return tokens(size, self._rate(model, caller))

    def observe(self, model: str, size: Size, prompt_tokens: int, caller: Hashable = None) -> None:
        """Learn from what an upstream counted: `prompt_tokens` are all of the prompt's, cached ones included."""
        if size.text < _TOO_SMALL or prompt_tokens <= size.media:
            return
        seen = min(max(size.text / (prompt_tokens - size.media), 1.0), 10.0)
        with self._lock:
            rates = _newest(self._rates, model, self._rates.get(model, {}), _MODELS)
            known = rates.get(caller, seen)
            _newest(rates, caller, known + _WEIGHT * (seen - known), _CALLERS)

    def _rate(self, model: str, caller: Hashable) -> float:
        with self._lock:
            rates = self._rates.get(model)
            if rates is None:
                return BYTES_PER_TOKEN
            own = rates.get(caller)
            return median(rates.values()) if own is None else own


def _newest(found: dict[Any, Any], key: Hashable, value: Any, most: int) -> Any:
    """Put a value last; of too many the first one is dropped."""
    found.pop(key, None)
    if len(found) >= most:
        del found[next(iter(found))]
    found[key] = value
    return value


def tokens(size: Size, bytes_per_token: float = BYTES_PER_TOKEN) -> int:
    return max(1, round(size.text / bytes_per_token) + size.media)
