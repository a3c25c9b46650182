"""Texts that others wrote, cut and made safe for a log, a page or a terminal."""

from __future__ import annotations

from asgi_llmgate.lazy_pattern import lazy_pattern

LIMIT = 128
"""Characters of a text, where nothing else is said."""

_UNSAFE = lazy_pattern(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U000e0000-\U000e007f]"
)
"""Control characters (line breaks, terminal escapes), characters without width, bidirectional overrides (U+202A and
following), lone surrogates, tag characters (U+E0000)."""


def clip(text: str, limit: int = LIMIT) -> str:
    """The text, cut to `limit` characters ("…" at the end), with U+FFFD for each unsafe character."""
    if not text.isprintable():
        # Cut first: the regular expression would otherwise walk over megabytes.
        text = _UNSAFE.sub("\ufffd", text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def clip_texts(texts: dict[str, str]) -> dict[str, str]:
    """The texts, each as `clip` gives it."""
    # Nearly always there is nothing to do: all are looked at together.
    if "".join(texts.values()).isprintable() and max(map(len, texts.values()), default=0) <= LIMIT:
        return texts
    return {name: clip(text) for name, text in texts.items()}
