"""What the words of a syntax tree are for their command."""

from __future__ import annotations

import re
from collections.abc import Iterator

from asgi_llmgate.safeguards.shell.heredocs import read_heredoc
from asgi_llmgate.safeguards.shell.syntax import Node
from asgi_llmgate.safeguards.shell.values import Values
from asgi_llmgate.safeguards.shell.words import (
    Uncertain,
    Word,
    expand_braces,
    has_pattern,
    plain,
    quoted,
    unescape,
    unescape_ansi,
    unescape_double_quoted,
)

_PLAIN_EXPANSION = re.compile(r"\$\{#?(?:[A-Za-z_]\w*|[0-9@*#?$!-])(?:\[[\w@*]+\])?(?:[:#%/^,+=?-].*)?\}", re.DOTALL)
"""A `${...}` that runs nothing by itself: no `${x@P}`, no `${!x}`."""

_VARIABLE = re.compile(r"\$(?:\w+|[@*#?$!-])")

_HIDDEN = re.compile(r"\[.*(?:\$\(|`)", re.DOTALL)
"""An index that arithmetic would run, also in quotes: `test -v 'a[$(id)]'`."""

_UNUSUAL = re.compile(r"[\\\[{ \t\n]")
"""What makes more of a word than its text."""

_BLANK = re.compile(r"(?<!\\)[ \t\n]")
_STRAY = re.compile(r"['`]|\\(?![/.\w])|[<>=]\(")
"""In `${...}`, what bash, zsh and the grammar read in different ways: `"${x:-'$(id)'}"`."""

_UNREAD = re.compile(r"(?<!\\)(?:\\\\)*(?:`|\$\()")
"""A substitution in what the grammar takes for plain text."""

_TEXT = frozenset({"word", "number", "variable_name", "special_variable_name", "test_operator"})
_LITERAL = frozenset({"raw_string", "ansi_c_string", "comment", "heredoc_body", "heredoc_start", "heredoc_end"})
_JOINED = frozenset({"concatenation", "variable_assignment", "brace_expression"})
_FILLED_IN = frozenset({"command_substitution", "process_substitution", "arithmetic_expansion", "array", "subscript"})


class Resolution:
    """The words of one line.  All methods raise Uncertain."""

    def __init__(self, source: bytes, root: Node) -> None:
        self._source = source
        self._values: Values | None = None
        if b"$" in source and b"=" in source:
            self._values = Values(root, self._plain)

    def words(self, node: Node) -> list[Word]:
        """The words that a node becomes: several where it has braces, or a value with blanks."""
        return [Word(plain(text), certain) for text, certain in self._texts(node)]

    def name(self, node: Node) -> Word:
        """The name of a command; what is filled in, or a pattern, may be any command."""
        found = list(self._texts(node.children[0]))
        if len(found) != 1 or not found[0].certain or not found[0].text or found[0].text.startswith("="):
            raise Uncertain
        if (has_pattern(found[0].text) and found[0].text != "[") or "{}" in plain(found[0].text):
            raise Uncertain  # `{}` is filled in by xargs and find
        return Word(plain(found[0].text))

    def stdin(self, redirect: Node) -> Word:
        """What a here-document or here-string gives to its command."""
        if redirect.type == "herestring_redirect":
            found = [word for child in redirect.named_children for word in self.words(child)]
            if len(found) != 1:
                raise Uncertain
            return found[0]
        return read_heredoc(self._source, redirect)

    def check(self, node: Node) -> None:
        """Look for commands that the grammar has overlooked in a node."""
        text = self._text(node)
        kind = node.type
        is_hidden: object
        if kind == "expansion":
            is_hidden = _STRAY.search(text)
        elif kind == "command_substitution":
            is_hidden = text.startswith("`") and "\\" in text  # the escapes of one in another
        elif kind in ("subscript", "arithmetic_expansion"):
            is_hidden = "'" in text and _UNREAD.search(text)  # quotes are no quotes in arithmetic
        elif kind == "concatenation":
            is_hidden = "$" in text and "['" in text  # zsh: an index
        else:
            is_hidden = not node.children and kind not in _LITERAL and _UNREAD.search(text)
        if is_hidden:
            raise Uncertain

    def _texts(self, node: Node) -> Iterator[Word]:
        """The words with the marks of `words.quoted`."""
        if node.type == "word" and not _UNUSUAL.search(text := self._text(node)):
            yield Word(text)
            return
        if node.type == "simple_expansion" and not _VARIABLE.fullmatch(self._text(node)):
            raise Uncertain  # the grammar takes `$ x` for a variable
        value = self._value(node) if node.type == "simple_expansion" else None
        if value is not None and not has_pattern(value):
            yield from (Word(quoted(part)) for part in value.split())  # not in quotes, so it is split at blanks
            return
        text, certain = self._resolve(node)
        for each in expand_braces(text) if "{" in text else (text,):
            if certain and _HIDDEN.search(plain(each)):
                raise Uncertain
            yield Word(each, certain)

    def _plain(self, node: Node) -> Word:
        text, certain = self._resolve(node)
        return Word(plain(text), certain)

    def _resolve(self, node: Node) -> Word:
        """A node as one word, with the marks of `words.quoted`."""
        kind, text = node.type, self._text(node)
        if (kind in _TEXT or not node.is_named) and _BLANK.search(text):
            raise Uncertain  # the grammar takes `] {` for one word
        if kind in _TEXT:
            return Word(unescape(text))
        if kind == "raw_string":
            return Word(quoted(text[1:-1]))
        if kind == "ansi_c_string":
            return Word(unescape_ansi(text[2:-1]))
        if kind == "string":
            return self._double_quoted(node)
        if kind in _JOINED:
            return self._joined(node)
        if kind == "simple_expansion" and _VARIABLE.fullmatch(text):
            value = self._value(node)
            return Word(quoted(text), certain=False) if value is None or " " in value else Word(quoted(value))
        if kind == "expansion" and _PLAIN_EXPANSION.fullmatch(text):
            value = self._value(node)
            return Word(quoted(text), certain=False) if value is None else Word(quoted(value))
        if kind in _FILLED_IN:
            return Word(quoted(text), certain=False)
        if not node.is_named:
            return Word(text)
        raise Uncertain

    def _joined(self, node: Node) -> Word:
        parts, end = [], node.start_byte
        for child in node.children:
            if child.start_byte != end:
                raise Uncertain
            end = child.end_byte
            parts.append(self._resolve(child))
        return _join(parts)

    def _double_quoted(self, node: Node) -> Word:
        parts, end = [], node.start_byte + 1
        for child in node.named_children:
            if child.type == "string_content":
                continue
            parts.append(self._literal(end, child.start_byte))
            value = self._value(child) if child.type == "simple_expansion" else None
            parts.append(self._resolve(child) if value is None else Word(quoted(value)))
            end = child.end_byte
        return _join([*parts, self._literal(end, node.end_byte - 1)])

    def _literal(self, start: int, end: int) -> Word:
        return Word(unescape_double_quoted(self._source[start:end].decode()))

    def _value(self, node: Node) -> str | None:
        return self._values.of(node) if self._values is not None else None

    def _text(self, node: Node) -> str:
        return self._source[node.start_byte : node.end_byte].decode()


def _join(parts: list[Word]) -> Word:
    return Word("".join(part.text for part in parts), all(part.certain for part in parts))
