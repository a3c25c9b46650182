"""Variables whose values are certain: a line sets them once, before all that reads them."""

from __future__ import annotations

import re
from collections.abc import Callable

from asgi_llmgate.safeguards.shell.syntax import Node, nodes
from asgi_llmgate.safeguards.shell.words import Word

_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")

_SET_VARIABLES = frozenset(
    {b"read", b"mapfile", b"readarray", b"printf", b"getopts", b"let", b"eval", b"source", b".", b"wait"}
    | {b"declare", b"typeset", b"local", b"export", b"readonly", b"unset", b"integer", b"float", b"private"}
    | {b"vared", b"zparseopts", b"print", b"builtin", b"command", b"trap", b"emulate"}
)
"""Commands that may set any variable, or run one that does."""

_QUOTES = re.compile(rb"[\\'\"]")

_VALUES = frozenset({"word", "number", "raw_string", "string", "concatenation"})


class Values:
    """The values of one line.  `resolve` gives a node's text."""

    def __init__(self, root: Node, resolve: Callable[[Node], Word]) -> None:
        self._resolve = resolve
        self._found: dict[bytes, tuple[int, str]] = {}  # name -> where its assignment ends, and the value
        self._found = self._read(root)

    def of(self, node: Node) -> str | None:
        """The value of `$X` or `${X}`; None where it is not certain."""
        name = (node.text or b"").removeprefix(b"$").removeprefix(b"{").removesuffix(b"}")
        found = self._found.get(name)
        return found[1] if found is not None and found[0] <= node.start_byte else None

    def _read(self, root: Node) -> dict[bytes, tuple[int, str]]:
        found: dict[bytes, tuple[int, str] | None] = {}
        for node in nodes(root):
            if node.type in ("declaration_command", "unset_command"):
                return {}
            if node.type == "command_name" and _may_set_variables(node.text or b""):
                return {}
            if node.type == "word" and node.text in (b"-A", b"+A"):  # zsh: set -A NAME
                return {}
            if node.type == "for_statement":
                found[node.named_children[0].text or b""] = None
            if node.type == "variable_assignment":
                name = (node.named_children[0].text or b"").partition(b"[")[0]
                found[name] = None if name in found else self._value(node)
        values = {name: value for name, value in found.items() if value is not None}
        if b"IFS" in found or any(_may_set_variables(text.encode()) for _, text in values.values()):
            return {}
        return values

    def _value(self, assignment: Node) -> tuple[int, str] | None:
        """None where it is not certain that the assignment is run, and by this shell, or what its value is."""
        node = assignment
        parent = node.parent
        while parent is not None and parent.type == "list" and parent.children[0] == node:  # what is first is run
            node, parent = parent, parent.parent
        behind = node.next_sibling
        if parent is None or parent.type != "program" or (behind is not None and behind.type == "&"):
            return None
        parts = assignment.children
        if len(parts) != 3 or parts[1].type != "=" or not _NAME.fullmatch(parts[0].text or b""):
            return None
        if parts[2].type not in _VALUES:
            return None
        word = self._resolve(parts[2])
        return (assignment.end_byte, word.text) if word.certain else None


def _may_set_variables(command: bytes) -> bool:
    return b"$'" in command or _QUOTES.sub(b"", command) in _SET_VARIABLES
