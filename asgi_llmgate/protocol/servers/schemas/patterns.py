r"""Regular expressions as llama.cpp, and LM Studio with it, can make a grammar of them.

Its converter (common/json-schema-to-grammar.cpp) takes a pattern only with `^` and `$` around it, and copies escapes
and classes into a grammar that knows neither `\d` nor `\w` nor `\-` (ggml-org/llama.cpp#26930, #27580).  A pattern that
can be written without them is; any other is not sent, because it would make the server refuse the whole request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_LONGEST = 500
"""Characters of a pattern that is rewritten."""

_CLASSES = {"d": "0-9", "w": "a-zA-Z0-9_", "s": " "}
"""What stands in a class for an escape.  Of white space only the blank can stand in a JSON string as it is."""

_NEGATED_CLASSES = {**_CLASSES, "s": r" \t\r\n"}

_SPECIAL = frozenset("^$.[]()|{}*+?\\")
"""Characters that keep their backslash outside of a class."""

_CONTROL = {"t": r"\t", "r": r"\r", "n": r"\n"}

_REPETITION = re.compile(r"\{\d{1,3}(?:,\d{0,3})?\}")

_PART = re.compile(r"\\.|\[(?:\\.|[^\]\\])*+\]|.", re.DOTALL)


def for_grammar(pattern: str) -> str | None:
    """A pattern with the same meaning that the converter takes; None where there is none.

    A caret or dollar inside the pattern, a look around, a back reference, a lazy quantifier, a quotation mark and a
    control character cannot be written.
    """
    if not 0 < len(pattern) <= _LONGEST or '"' in pattern:
        return None
    begin, end = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith(r"\$")
    inner = pattern[begin : len(pattern) - end]
    if _has_alternatives(inner):
        return None  # ^a|b$ is (^a)|(b$)
    written = _write(inner)
    if written is None:
        return None
    return f"^{'' if begin else '.*'}{written}{'' if end else '.*'}$"


def _has_alternatives(pattern: str) -> bool:
    """Whether a `|` stands outside of all groups and classes."""
    depth = 0
    for part in _PART.findall(pattern):
        depth += (part == "(") - (part == ")")
        if part == "|" and depth == 0:
            return True
    return False


def _write(pattern: str) -> str | None:
    """The pattern between its anchors; None where a part has no counterpart."""
    written: list[str] = []
    at = depth = 0
    while at < len(pattern):
        char = pattern[at]
        piece, length = _piece(pattern, at)
        depth += (char == "(") - (char == ")")
        # Nothing may be empty: neither a group, nor an alternative, nor what is repeated.
        if piece is None or depth < 0 or (char in ")*+?{|" and (not written or written[-1] in ("(", "|"))):
            return None
        written.append(piece)
        at += length
    return "".join(written) if depth == 0 and written else None


def _piece(pattern: str, at: int) -> tuple[str | None, int]:
    """What stands for the next part of a pattern, None for nothing, and the part's length."""
    char = pattern[at]
    if char == "\\":
        return _escape(pattern[at + 1 : at + 2]), 2
    if char == "[":
        return _class(pattern, at)
    if char in "*+?{":
        return _quantifier(pattern, at)
    if pattern.startswith("(?", at):
        return ("(", 3) if pattern.startswith("(?:", at) else (None, 1)
    # Outside of a class the converter takes bytes for characters.
    return (None if char in "^$" or ord(char) < 32 else char if char.isascii() else f"[{char}]"), 1


def _escape(char: str) -> str | None:
    if char in _CLASSES:
        return f"[{_CLASSES[char]}]"
    if char.lower() in _CLASSES:
        return f"[^{_NEGATED_CLASSES[char.lower()]}]"
    if char in _SPECIAL:
        return "\\" + char
    return None if not char or char.isalnum() else char


def _class(pattern: str, at: int) -> tuple[str | None, int]:
    """A class, and its length in the pattern."""
    end = at + 1
    negated = pattern.startswith("^", end)
    end += negated
    classes = _NEGATED_CLASSES if negated else _CLASSES
    items: list[str] = []
    hyphen = False  # written last, where it is no range
    while end < len(pattern) and pattern[end] != "]":
        item, length = _class_item(pattern, end, classes)
        if item is None:
            return None, 1
        if item == "-":
            hyphen = True
        else:
            items.append(item)
        end += length
    if end >= len(pattern) or not (items or hyphen):
        return None, 1
    return f"[{'^' * negated}{''.join(items)}{'-' * hyphen}]", end + 1 - at


def _class_item(pattern: str, at: int, classes: Mapping[str, str]) -> tuple[str | None, int]:
    """A character, a range or an escape in a class, and its length in the pattern; "-" is the character."""
    escape = pattern[at + 1 : at + 2] if pattern[at] == "\\" else ""
    if escape in classes and escape:
        return classes[escape], 2
    first, length = _class_char(pattern, at)
    if first is None or not pattern.startswith("-", at + length) or pattern.startswith("-]", at + length):
        return first, length
    if pattern[at + length + 1 : at + length + 3] in (r"\d", r"\w", r"\s"):
        return first, length
    last, more = _class_char(pattern, at + length + 1)
    return (None if last is None or "-" in (first, last) else f"{first}-{last}"), length + 1 + more


def _class_char(pattern: str, at: int) -> tuple[str | None, int]:
    char = pattern[at : at + 1]
    if char == "\\":
        char = pattern[at + 1 : at + 2]
        if char in _CONTROL:
            return _CONTROL[char], 2
        if char in ("]", "[", "\\"):
            return "\\" + char, 2
        return (None if not char or char.isalnum() else char), 2
    return (r"\[" if char == "[" else None if not char or ord(char) < 32 else char), 1


def _quantifier(pattern: str, at: int) -> tuple[str | None, int]:
    """A quantifier, and its length; none for one that is lazy, possessive or too large."""
    match = _REPETITION.match(pattern, at)
    text = pattern[at] if pattern[at] != "{" else match[0] if match else ""
    if not text or pattern[at + len(text) : at + len(text) + 1] in ("?", "+", "*", "{"):
        return None, 1
    return text, len(text)
