"""What a header can hold (RFC 9110 sections 5.1 and 5.5): anything else splits the request, or fails on its way."""

from __future__ import annotations

import re

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

UNSENDABLE = "it has characters that no header can hold"


def header_name(text: str) -> bytes:
    """In lower case.  Raises ValueError."""
    if _NAME.fullmatch(text) is None:
        raise ValueError("no name of a header")
    return text.lower().encode("ascii")


def is_header_value(text: str) -> bool:
    return _VALUE.fullmatch(text) is not None


def header_value(text: str) -> bytes:
    """Raises ValueError, which does not repeat the text: it may be a key."""
    if not is_header_value(text):
        raise ValueError(UNSENDABLE)
    return text.encode("latin-1")
