"""Here-documents.  Where one ends is checked here, because the grammar may end it at another line than a shell does."""

from __future__ import annotations

import re

from asgi_llmgate.safeguards.shell.syntax import Node, nodes
from asgi_llmgate.safeguards.shell.words import Uncertain, Word

_DELIMITER = re.compile(rb"""'([^'\\\n]+)'|"([^"\\$`\n]+)"|(\\?)([A-Za-z0-9_.+-]+)""")

_BEHIND = (b" ", b"\t", b"\n", b";", b"|", b"&", b"<", b">", b")")
"""What may stand behind a delimiter; else it is longer than the grammar says."""


def read_heredoc(source: bytes, redirect: Node) -> Word:
    """What a here-document gives to its command.

    Raises Uncertain where it may end at another line, and for backquotes in it that are run.
    """
    parts = {child.type: child for child in redirect.children}
    start, end, body = parts.get("heredoc_start"), parts.get("heredoc_end"), parts.get("heredoc_body")
    found = _DELIMITER.fullmatch(source[start.start_byte : start.end_byte]) if start is not None else None
    if found is None or end is None:
        raise Uncertain
    delimiter = found[1] or found[2] or found[4]
    is_quoted = found[4] is None or bool(found[3])
    blanks = b"\t" if "<<-" in parts else b""  # before the delimiter, bash takes tabs only
    line = source.rfind(b"\n", 0, end.start_byte) + 1
    if source[line : end.start_byte].strip(blanks) or source[end.start_byte : end.end_byte] != delimiter:
        raise Uncertain
    if source[end.end_byte : end.end_byte + 1] not in (b"", b"\n"):
        raise Uncertain
    assert start is not None
    first = source.find(b"\n", start.end_byte) + 1
    if source[start.end_byte : start.end_byte + 1] not in _BEHIND or first == 0 or line < first:
        raise Uncertain
    if body is not None and source[first : body.start_byte].strip():
        raise Uncertain  # the grammar has taken a line of it for a part of the command
    text = source[first:line]
    if any(each.lstrip(blanks) == delimiter for each in text.split(b"\n")[:-1]):
        raise Uncertain
    # Without quotes around the delimiter, expansions and escapes are read.  The grammar has no nodes for backquotes
    # and for the first `$(...)` behind a tab.
    run = text.replace(rb"\\", b"").replace(rb"\`", b"").replace(rb"\$", b"")
    if not is_quoted and (b"`" in run or run.count(b"$(") > _count_substitutions(redirect)):
        raise Uncertain
    return Word(text.decode(), is_quoted or not any(mark in text for mark in (b"$", b"\\", b"`")))


def _count_substitutions(node: Node) -> int:
    return sum(each.type in ("command_substitution", "arithmetic_expansion") for each in nodes(node))
