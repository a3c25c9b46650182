"""Texts that others wrote, cut and made safe for a log, a page or a terminal."""

from __future__ import annotations

from asgi_llmgate.lazy_pattern import lazy_pattern

_UNSAFE = lazy_pattern(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U000e0000-\U000e007f]"
)
"""Control characters (line breaks, terminal escapes), characters without width, bidirectional overrides (U+202A and
following), lone surrogates, tag characters (U+E0000)."""


def clip(text: str, limit: int = 128) -> str:
    """The text, cut to `limit` characters ("…" at the end), with U+FFFD for each unsafe character."""
    if not text.isprintable():
        # Cut first: the regular expression would otherwise walk over megabytes.
        text = _UNSAFE.sub("\ufffd", text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"
