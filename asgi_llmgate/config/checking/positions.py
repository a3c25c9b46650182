"""Where a setting is in its YAML file, and where in the file a character of a rule is.

Only a check of a file asks; a gateway that starts does not compute any of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from asgi_llmgate.config.yaml_text import (
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    line_starts,
    names_of_key,
    place_of,
)

Place = tuple[int, int]
"""Line and column, both from 1."""

_INDEX = re.compile(r"\[(\d+)\]")

_PROPERTIES = re.compile(r"(?:[!&]\S*\s+)+")
"""A tag or an anchor in front of a value (YAML 1.2 section 6.9)."""

_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\r\n|.)", re.DOTALL)
"""An escape in double quotes (YAML 1.2 section 5.7), or a line break that is escaped."""

_WHITE = {r"\t", r"\n", r"\r", r"\v", r"\f", r"\ ", r"\N", r"\_", r"\L", r"\P", r"\x09", r"\x0a", r"\x0A", r"\x20"}
"""Escapes that stand for white space."""


class Positions:
    """The places of all settings of one document."""

    def __init__(self, node: Node | None, text: str) -> None:
        self._root = node
        self._text = text
        self._line_starts = line_starts(text)

    def of(self, path: str, within: Place | None = None) -> Place:
        """The place of a setting: of its key, or of the member of a list.

        A key that is not in the file has the place of what it would be in.  With `within`, line and column in the text
        at the path, it is that of the character; as well as it can be known.
        """
        if self._root is None:
            return 1, 1
        start, node = self._find(path)
        if within is not None and isinstance(node, ScalarNode):
            start = self._inside(node, within) or start
        return place_of(start, self._line_starts)

    def _find(self, path: str) -> tuple[int, Node | None]:
        """The character at which the setting begins, and its value; None where the file ends above it."""
        node = self._root
        start = node.start_mark.index if node is not None else 0
        while path:
            step = _step(node, path)
            if step is None:
                return start, None
            start, node, path = step
        return start, node

    def _inside(self, node: ScalarNode, within: Place) -> int | None:
        """The character in the file for one in the value; None where variables or tabs make it another one.

        Folding changes white space only.  So the n-th character of the value that is not white space is the n-th one of
        the text in the file, whatever the style.
        """
        line, column = within
        lines = node.value.split("\n")
        if "${" in node.value or line > len(lines):
            return None
        before = "".join([*lines[: line - 1], lines[line - 1][: column - 1]])
        number = len("".join(before.split()))
        start, end = node.start_mark.index, node.end_mark.index
        if properties := _PROPERTIES.match(self._text, start, end):
            start = properties.end()
        units = list(_units(self._text[start:end], node.style))
        if not units:
            return None
        return int(start) + (units[number] if number < len(units) else units[-1] + 1)


def _step(node: Node | None, path: str) -> tuple[int, Node, str] | None:
    """The member that the path goes on with: where it begins, its value, and the rest of the path."""
    if isinstance(node, SequenceNode) and (found := _INDEX.match(path)):
        if int(found[1]) >= len(node.value):
            return None
        member = node.value[int(found[1])]
        return member.start_mark.index, member, path[found.end() :].removeprefix(".")
    if not isinstance(node, MappingNode):
        return None
    best: tuple[int, Node, str] | None = None
    for key, value in node.value:  # a later one counts, as for the content
        for name in names_of_key(key):
            rest = path[len(name) :]
            if path.startswith(name) and (not rest or rest[0] in ".["):
                rest = rest.removeprefix(".")
                if best is None or len(rest) <= len(best[2]):  # a longer name: it has dots in it
                    best = key.start_mark.index, value, rest
    return best


def _units(raw: str, style: str | None) -> Iterator[int]:
    """The offsets of the characters that are not white space, in the text of a scalar as it is in the file."""
    if style in ("|", ">"):  # the first line has the indicators and a comment
        start = raw.find("\n") + 1
        yield from (index for index in range(start, len(raw)) if not raw[index].isspace())
        return
    quoted = style in ("'", '"')
    index, end = int(quoted), len(raw) - int(quoted)
    while index < end:
        width, white = 1, raw[index].isspace()
        if style == "'" and raw.startswith("''", index):
            width = 2
        elif style == '"' and raw[index] == "\\" and (found := _ESCAPE.match(raw, index)):
            width, white = len(found[0]), found[0] in _WHITE or found[0].endswith(("\n", "\r"))
        if not white:
            yield index
        index += width
