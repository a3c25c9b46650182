"""Words of a command line, as the command gets them: quotes and escapes resolved, braces expanded (bash(1), EXPANSION).

What the shell fills in while it runs, and nothing here can know, stays as it is written: `$HOME`, `$(date)`.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Uncertain(Exception):
    """What a line runs cannot be said with certainty."""


class Word(NamedTuple):
    """A word.  `certain`: nothing in it is filled in while the line runs."""

    text: str
    certain: bool = True


MAX_ALTERNATIVES = 64
"""Words that one word with braces may become."""

# Characters that mean something for braces and patterns only where they are not quoted.  Quoted ones are kept apart by
# moving them into a private area of Unicode; a line with characters of that area is uncertain.
_SPECIAL = "{},.*?["
_MOVE = {ord(character): 0xE000 + number for number, character in enumerate(_SPECIAL)}
_MOVE_BACK = {0xE000 + number: character for number, character in enumerate(_SPECIAL)}
PRIVATE = re.compile("[\ue000-\uf8ff]")

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_DOUBLE_QUOTED_ESCAPE = re.compile(r'\\(["\\$`])')
_ANSI_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|x(?P<hex>[0-9a-fA-F]{1,2})|u(?P<u4>[0-9a-fA-F]{1,4})|U(?P<u8>[0-9a-fA-F]{1,8})|(?P<one>.))",
    re.DOTALL,
)
_ANSI = {"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ANSI |= {"\\": "\\", "'": "'", '"': '"', "?": "?"}
_RANGE = re.compile(r"(?:(-?\d{1,6})\.\.(-?\d{1,6})|([a-zA-Z])\.\.([a-zA-Z]))")


def quoted(text: str) -> str:
    """Text in which no character has a meaning of its own."""
    return text.translate(_MOVE)


def plain(text: str) -> str:
    """The text without the marks of `quoted`."""
    return text.translate(_MOVE_BACK)


def unescape(text: str) -> str:
    """Text outside of quotes."""
    return _ESCAPE.sub(lambda found: quoted(found[1]), text)


def unescape_double_quoted(text: str) -> str:
    """Text in double quotes."""
    return quoted(_DOUBLE_QUOTED_ESCAPE.sub(r"\1", text))


def unescape_ansi(text: str) -> str:
    r"""Text in `$'...'`.  Raises Uncertain: for a zero byte bash ends the text, and `\cx` is read in several ways."""

    def character(found: re.Match[str]) -> str:
        if found["one"]:
            if found["one"] not in _ANSI:
                raise Uncertain
            return _ANSI[found["one"]]
        number = int(found["octal"], 8) if found["octal"] else int(found["hex"] or found["u4"] or found["u8"], 16)
        if not 0 < number < (0x80 if found["octal"] or found["hex"] else 0x110000) or 0xD800 <= number < 0xF900:
            raise Uncertain
        return chr(number)

    return quoted(_ANSI_ESCAPE.sub(character, text))


def has_pattern(text: str) -> bool:
    """Whether the shell would look for files with names like this."""
    return any(character in text for character in "*?[")


def expand_braces(text: str) -> list[str]:
    """`a{b,c}` as two words, `a{1..3}` as three.  Raises Uncertain for too many."""
    start = text.find("{")
    while start >= 0:
        parts, end = _brace(text, start)
        if parts is not None:
            tails = expand_braces(text[end:])
            words = [text[:start] + inner + tail for part in parts for inner in expand_braces(part) for tail in tails]
            if len(words) > MAX_ALTERNATIVES:
                raise Uncertain
            return words
        start = text.find("{", start + 1)
    return [text]


def _brace(text: str, start: int) -> tuple[list[str] | None, int]:
    """The alternatives of the brace that opens at `start`, None where it is text, and where it ends."""
    depth, begin, parts = 0, start + 1, []
    for index in range(start, len(text)):
        if text[index] == "{":
            depth += 1
        elif text[index] == "," and depth == 1:
            parts.append(text[begin:index])
            begin = index + 1
        elif text[index] == "}":
            depth -= 1
            if depth == 0:
                body = text[start + 1 : index]
                if parts:
                    return [*parts, text[begin:index]], index + 1
                return (_range(body), index + 1) if ".." in body else (None, index)
    return None, start


def _range(body: str) -> list[str]:
    found = _RANGE.fullmatch(body)
    if found is None:
        raise Uncertain
    first, last = (int(found[1]), int(found[2])) if found[1] else (ord(found[3]), ord(found[4]))
    if abs(last - first) >= MAX_ALTERNATIVES:
        raise Uncertain
    step = 1 if last >= first else -1
    numbers = range(first, last + step, step)
    return [str(number) for number in numbers] if found[1] else [chr(number) for number in numbers]
