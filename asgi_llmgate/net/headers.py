"""Checks header names and values (RFC 9110 sections 5.1 and 5.5).

Other characters could split a request in two, or make a server refuse it.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

NOT_A_HEADER_VALUE = "it has characters that a header cannot contain"


def header_name(text: str) -> bytes:
    """The name in lower case.  Raises ValueError."""
    if _NAME.fullmatch(text) is None:
        raise ValueError("not a header name")
    return text.lower().encode("ascii")


def is_header_value(text: str) -> bool:
    return _VALUE.fullmatch(text) is not None


def header_value(text: str) -> bytes:
    """The value as bytes.  Raises ValueError."""
    if not is_header_value(text):
        raise ValueError(NOT_A_HEADER_VALUE)  # without the text, which may be a key
    return text.encode("latin-1")
