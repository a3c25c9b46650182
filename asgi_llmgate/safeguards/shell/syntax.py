"""The syntax tree of a line of shell, by tree-sitter's grammar of bash.

The grammar is wrong at some places where that does not matter to an editor.  Here it does, so what it may read in
another way than a shell is no line (`Uncertain`), and `check_gaps` finds what it has left out.
"""
# tree-sitter-bash because its license is MIT; bashlex, which is written in Python, is under the GPL.

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from asgi_llmgate.extras import needs_extra
from asgi_llmgate.safeguards.shell.words import PRIVATE, Uncertain

with needs_extra("safeguards", "tool.commands"):
    import tree_sitter_bash
    from tree_sitter import Language, Node, Parser

__all__ = ["Node", "check_gaps", "nodes", "parse"]

MAX_LINE = 16_384
"""Characters of a line."""

MAX_PIPES = 300
"""Characters `|` of a line: at its end, the parser takes seconds for thousands, in one step that nothing can stop."""

_BASH = Language(tree_sitter_bash.language())

_STRANGE = re.compile(r"[^\S \t\n]|[\x00-\x08\x0e-\x1f\x7f]|(?:^|\n)[ \t]*\\\n|(?<=\S)\\\n(?=\S)")
"""White space that shells and the grammar take for different things, control characters, a line that begins with an
escaped line break, a word over two lines."""

_GAP = re.compile(rb"(?:[ \t\n]|\\\n)*")
_GAP_IN_LINE = re.compile(rb"(?:[ \t]|\\\n)*")


def parse(text: str, deadline: float) -> tuple[bytes, Node]:
    """The line as UTF-8, and its tree.  `deadline` is in seconds of `time.thread_time`: a line with syntax errors may
    take a thousand times as long as a good one.

    Raises Uncertain, for a syntax error as well.
    """
    if len(text) > MAX_LINE or text.count("|") > MAX_PIPES:
        raise Uncertain
    if _STRANGE.search(text) or PRIVATE.search(text):
        raise Uncertain
    try:
        source = text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        raise Uncertain from None

    def stop(offset: int, has_error: bool) -> bool:
        return has_error or time.thread_time() > deadline

    def read(offset: int, point: object) -> bytes:
        return source[offset : offset + 4096]

    try:
        # Only a tree that is read by a function can be stopped.
        root = Parser(_BASH).parse(read, encoding="utf8", progress_callback=stop).root_node
    except ValueError:
        raise Uncertain from None
    if root.has_error:
        raise Uncertain
    check_gaps(source, root, 0, len(source))
    return source, root


def check_gaps(source: bytes, node: Node, start: int, end: int, *, in_line: bool = False) -> None:
    """Raises Uncertain if there is more than white space between the parts of a node, or around them.

    `in_line`: a line break, unless escaped, is more.
    """
    gap = _GAP_IN_LINE if in_line else _GAP
    for child in node.children:
        if not gap.fullmatch(source, start, child.start_byte):
            raise Uncertain
        start = max(start, child.end_byte)
    if not gap.fullmatch(source, start, max(start, end)):
        raise Uncertain


def nodes(node: Node) -> Iterator[Node]:
    """All nodes of a tree."""
    pending = [node]
    while pending:
        found = pending.pop()
        yield found
        pending.extend(found.children)
