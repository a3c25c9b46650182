"""Reads the simple commands of a line from its syntax tree.

What a line does besides is told in the form of commands, so that no pass rule overlooks it:

    A=1 kubectl get       ["env", "A=1", "kubectl", "get"], ["kubectl", "get"]
    A=1                   ["A=1"]
    echo x > file         ["echo", "x"], [">", "file"]        the same for >>, <, << and <<<
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from asgi_llmgate.safeguards.shell.resolution import Resolution
from asgi_llmgate.safeguards.shell.scripts import scripts
from asgi_llmgate.safeguards.shell.syntax import Node, check_gaps, parse
from asgi_llmgate.safeguards.shell.words import Uncertain, Word
from asgi_llmgate.safeguards.shell.wrappers import names_of, wrapped

MAX_SECONDS = 0.1
"""Processor time for the syntax trees of a line."""

MAX_WORDS = 20_000
"""Words of all commands of a line; a line of 16 KiB has 5,000, and wrappers repeat them."""

MAX_DEPTH = 60
"""Levels of a syntax tree."""

MAX_SCRIPTS = 4
"""Levels of shells in shells."""

_INSIDE = frozenset(
    {"program", "list", "pipeline", "subshell", "compound_statement", "negated_command", "function_definition"}
    | {"if_statement", "elif_clause", "else_clause", "case_statement", "case_item", "do_group"}
    | {"while_statement", "for_statement", "c_style_for_statement"}
    | {"command_substitution", "process_substitution", "arithmetic_expansion", "array", "subscript"}
    | {"test_command", "unary_expression", "binary_expression", "ternary_expression", "parenthesized_expression"}
    | {"postfix_expression"}
)
"""Nodes whose parts are read one by one."""

_LEAVES = frozenset(
    {"comment", "test_operator", "regex", "extglob_pattern", "variable_name", "special_variable_name"}
    | {"file_descriptor", "heredoc_start", "heredoc_end", "heredoc_content", "string_content"}
)
_WORDS = frozenset(
    {"word", "number", "string", "raw_string", "ansi_c_string", "concatenation"}
    | {"simple_expansion", "expansion", "brace_expression"}
)
_ARGUMENTS = _WORDS | {"command_substitution", "process_substitution", "arithmetic_expansion"}
_REDIRECTIONS = {">": ">", ">|": ">", "&>": ">", ">&": ">", "<>": ">", ">>": ">>", "&>>": ">>", "<": "<", "<&": "<"}
_ALIASES = ("BASH_ALIASES", "BASH_CMDS")
"""Variables of bash by which a name means another command."""

_CLOSING = frozenset({">&-", "<&-"})


def commands_of(line: str) -> list[list[str]] | None:
    """The words of each simple command that the line may run; None where they are not certain."""
    reader = _Reader()
    try:
        reader.read_script(line)
    except (Uncertain, RecursionError):
        return None
    return [[word.text for word in words] for words in reader.commands]


class _Reader:
    """One line, with the scripts in it.  All methods raise Uncertain."""

    def __init__(self) -> None:
        self.commands: list[Sequence[Word]] = []
        self._words = 0
        self._level = 0
        self._deadline = time.thread_time() + MAX_SECONDS

    def read_script(self, text: str) -> None:
        """Read the commands of a line, or of a text that a command gives to a shell."""
        self._level += 1
        if self._level > MAX_SCRIPTS:
            raise Uncertain
        source, root = parse(text, self._deadline)
        _Script(source, root, self).visit(root)
        self._level -= 1

    def add(self, words: Sequence[Word], stdin: Word | None = None) -> None:
        """Add a command, and what it runs."""
        if any(word.text.startswith(_ALIASES) for word in words):
            raise Uncertain
        for command in (words, *wrapped(words)):
            for name in (command[0], *map(Word, names_of(command[0].text))):
                self._keep((name, *command[1:]))
            for text in scripts(command, stdin):
                if not text.certain:
                    raise Uncertain
                self.read_script(text.text)

    def _keep(self, words: Sequence[Word]) -> None:
        self._words += len(words)
        if self._words > MAX_WORDS:
            raise Uncertain
        self.commands.append(words)


class _Script:
    """One syntax tree."""

    def __init__(self, source: bytes, root: Node, reader: _Reader) -> None:
        self._source, self._reader = source, reader
        self._resolution = Resolution(source, root)
        self._depth = 0

    def visit(self, node: Node) -> None:
        """Read the commands in a part of the tree.  Raises Uncertain for a kind of node that is not known."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Uncertain
        self._resolution.check(node)
        kind = node.type
        if kind == "command":
            self._command(node)
        elif kind == "redirected_statement":
            self._redirected(node)
        elif kind in ("declaration_command", "unset_command"):
            check_gaps(self._source, node, node.start_byte, node.end_byte, in_line=True)
            self._reader.add([word for child in node.children for word in self._resolution.words(child)])
            self._visit_parts(node)
        elif kind == "variable_assignment":
            if node.parent is None or node.parent.type not in ("command", "declaration_command"):
                self._reader.add(self._resolution.words(node))
            self._visit_parts(node)
        elif kind == "file_redirect":
            self._file(node)
        elif kind in ("heredoc_redirect", "herestring_redirect"):
            check_gaps(self._source, node, node.start_byte, node.end_byte)
            form = "<<" if kind == "heredoc_redirect" else "<<<"
            self._reader.add([Word(form), self._resolution.stdin(node)])
            self._visit_parts(node)
        elif kind == "heredoc_body":
            self._visit_parts(node)
        elif kind in _INSIDE:
            if kind == "compound_statement" and not node.named_children:
                raise Uncertain  # `{}` is no block but a name, which xargs and find fill in
            check_gaps(self._source, node, node.start_byte, node.end_byte)
            self._visit_parts(node)
        elif kind in _WORDS:
            self._resolution.words(node)
            self._visit_parts(node)
        elif kind not in _LEAVES or (kind == "comment" and not self._is_comment(node)):
            raise Uncertain
        self._depth -= 1

    def _is_comment(self, node: Node) -> bool:
        """Whether a shell, too, takes `#` for the beginning of a comment: not in `x=(1)#y`."""
        return self._source[: node.start_byte][-1:] in (b"", b" ", b"\t", b"\n", b";")

    def _visit_parts(self, node: Node) -> None:
        for child in node.named_children:
            self.visit(child)

    def _command(self, node: Node, stdin: Word | None = None, last: Sequence[Word] = ()) -> None:
        """`stdin` is what it reads, `last` are words that the grammar has left out."""
        check_gaps(self._source, node, node.start_byte, node.end_byte, in_line=True)
        assignments: list[Word] = []
        words: list[Word] = []
        end = -1
        for child in node.children:
            if child.start_byte == end:
                raise Uncertain  # two words without a blank between them
            end = child.end_byte
            if child.type == "command_name":
                words.append(self._resolution.name(child))
                continue
            if child.type == "variable_assignment":
                assignments += self._resolution.words(child)
            elif child.type == "herestring_redirect":
                if stdin is not None:
                    raise Uncertain  # bash takes the last one, zsh all
                stdin = self._resolution.stdin(child)
            elif child.type in _WORDS:
                words += self._resolution.words(child)
                self._resolution.check(child)
                self._visit_parts(child)
                continue
            elif child.type not in ("file_redirect", "heredoc_redirect"):
                words += self._resolution.words(child)
            self.visit(child)
        if assignments:
            words = [Word("env"), *assignments, *words]
        if not words:
            raise Uncertain
        self._reader.add([*words, *last], stdin)

    def _redirected(self, node: Node) -> None:
        body, *redirects = node.children
        stdin = None
        last: list[Word] = []
        for redirect in redirects:
            if redirect.type in ("heredoc_redirect", "herestring_redirect"):
                if stdin is not None:
                    raise Uncertain
                stdin = self._resolution.stdin(redirect)
            if redirect.type == "heredoc_redirect":  # `cat <<E - x`: the words behind it are still the command's
                arguments = [child for child in redirect.named_children if child.type in _ARGUMENTS]
                last += [word for child in arguments for word in self._resolution.words(child)]
        gap = self._source[body.end_byte : redirects[0].start_byte] if redirects else b""
        if gap.strip() == b"-" and gap[:1].isspace():
            last.insert(0, Word("-"))  # tree-sitter-bash has no node for it in `python - <<E`
        else:
            check_gaps(self._source, node, node.start_byte, node.end_byte, in_line=True)
        if body.type == "command":
            self._command(body, stdin, last)
        elif last:
            raise Uncertain
        else:
            self.visit(body)
        for redirect in redirects:
            self.visit(redirect)

    def _file(self, node: Node) -> None:
        check_gaps(self._source, node, node.start_byte, node.end_byte, in_line=True)
        operator = next(child.type for child in node.children if not child.is_named)
        targets = [child for child in node.named_children if child.type != "file_descriptor"]
        self._visit_parts(node)
        if operator in _CLOSING and not targets:
            return
        # The grammar takes the words behind a file for further files.
        if operator not in _REDIRECTIONS or len(targets) != 1:
            raise Uncertain
        words = self._resolution.words(targets[0])
        if operator in (">&", "<&") and all(word.text.isdigit() or word.text == "-" for word in words):
            return
        if [word.text for word in words] != ["/dev/null"]:
            self._reader.add([Word(_REDIRECTIONS[operator]), *words])
