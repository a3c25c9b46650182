"""YAML as this project reads it: the safe types, each key of a mapping once, and bounded work.

PyYAML lets the last of two equal keys win (https://github.com/yaml/pyyaml/issues/165), so a second `policy:` at the end
of a long file would take the rules of the first away, in silence.  YAML 1.2 section 3.2.1.3 wants keys to be unique.

Aliases are counted as often as they are used, before anything is built of them: nine lines of them make a billion.
"""

from __future__ import annotations

import codecs
import json
import re
from bisect import bisect_right
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode as MappingNode  # for those who read documents
from yaml.nodes import Node as Node
from yaml.nodes import ScalarNode as ScalarNode
from yaml.nodes import SequenceNode as SequenceNode
from yaml.reader import ReaderError

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes

LARGEST = 4 * 2**20
"""Bytes of a document."""

MOST = 100_000
"""Values in a document, those in aliases once for each use."""

DEEPEST = 64
"""Values within one another, aliases included."""

_LINE_END = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_MERGE = "tag:yaml.org,2002:merge"
_SHOWN = 64
_TOO_DEEP = f"more than {DEEPEST} levels"

_HINTS = (
    ("'\\t'", "indent with spaces, not with tabs"),
    ("that cannot start any token", "a text that begins with this character stands in quotes"),
    ("expected alphabetic or numeric character", 'a text that begins with * or & stands in quotes: "*"'),
    ("mapping values are not allowed here", "a text with a colon and a space in it stands in quotes"),
    ("could not find expected ':'", "is a colon missing, or a space after it?"),
    ("found unexpected end of stream", "a quote or a bracket is not closed"),
    ("expected <block end>", "is the line indented like those it belongs to?"),
    ("but got '<stream end>'", "a bracket is not closed"),
)
"""What PyYAML says -> what is usually the cause."""


class BadYAML(SettingsError):
    """What is wrong in a document, and where: `cause` at `place`."""

    def __init__(self, name: str, problem: str, place: tuple[int, int] | None = None) -> None:
        where = f"line {place[0]}, column {place[1]}: " if place is not None else ""
        hint = next((hint for text, hint in _HINTS if text in problem), "")
        super().__init__(f"{name} is not valid YAML: {where}{problem}", hint=hint)
        self.cause = problem
        self.place = place

    @property
    def problem(self) -> str:
        return f"not valid YAML: {self.cause}"


class RepeatedKey(BadYAML):
    """A key of a mapping is there twice: PyYAML would read the document."""

    @property
    def problem(self) -> str:
        return self.cause


class Document(NamedTuple):
    """A document: its content, its nodes (None for an empty one) and its text."""

    content: Any
    node: Node | None
    text: str


def read_yaml(data: bytes, name: str) -> Any:
    """What a document says.  `name` is what errors call it.

    Raises SettingsError with line and column: not UTF-8, not YAML, a repeated key, more or deeper than is read.
    """
    mistakes = Mistakes()
    document = None
    with mistakes.under():
        document = read_document(data, name, mistakes)
    mistakes.raise_if_any()
    return document and document.content


def read_document(data: bytes, name: str, mistakes: Mistakes) -> Document:
    """The document; of a repeated key the last value counts, and it is added to `mistakes`.

    Raises SettingsError for everything else that `read_yaml` raises, after it has added those.
    """
    text = _decode(data, name)
    with _errors(text, name):
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            _add_repeated(loader, name, mistakes)
        content = None if node is None else loader.construct_document(node)
        loader.dispose()
    return Document(content, node, text)


def read_documents(data: bytes, name: str) -> list[Node]:
    """The documents of a file as nodes, which know their places; `value_of` makes a value of one.

    Merge keys (`<<`) are resolved.  The bounds are for all documents together.  Raises SettingsError as `read_yaml`.
    """
    text = _decode(data, name)
    found: list[Node] = []
    with _errors(text, name):
        loader = _Loader(text)
        left = MOST
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            left -= loader.values_in(node)
            if left < 0:
                raise _too_many(node)
            loader.flatten(node)
            found.append(node)
    mistakes = Mistakes()
    _add_repeated(loader, name, mistakes)
    mistakes.raise_if_any()
    return found


def value_of(node: Node) -> Any:
    """The value of a node.  Raises SettingsError for one that is not of the type that its tag says."""
    with _errors("", "the document"):
        return _Loader("").construct_document(node)


def write_flow(value: Any) -> str:
    """A value on one line, as `read_yaml` reads it back.  What a terminal could hide or act on is escaped."""
    clean = all(map(str.isprintable, _texts(value)))
    text: str = yaml.safe_dump(
        value, width=2**20, allow_unicode=clean, default_flow_style=True, default_style=None if clean else '"'
    )
    return text.removesuffix("...\n").strip()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from (*_texts(key), *_texts(item))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _decode(data: bytes, name: str) -> str:
    if len(data) > LARGEST:
        raise SettingsError(f"{name} is larger than {LARGEST // 2**20} MiB")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SettingsError(f"{name} is UTF-16; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(10) + 1
        refused = SettingsError(f"{name} is not UTF-8: line {line}")
        refused.place = line, error.start - data.rfind(b"\n", 0, error.start)
        raise refused from None


@contextmanager
def _errors(text: str, name: str) -> Iterator[None]:
    """Errors of PyYAML as SettingsErrors with line and column."""
    try:
        yield
    except ReaderError as error:
        raise BadYAML(name, error.reason, place_of(error.position, line_starts(text))) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "cannot be read"
        raise BadYAML(name, problem, _place(mark) if mark else None) from None


def _add_repeated(loader: _Loader, name: str, mistakes: Mistakes) -> None:
    for problem, mark in sorted(loader.repeated, key=lambda each: each[1].index):
        mistakes.add(RepeatedKey(name, problem, _place(mark)))


def _place(mark: yaml.Mark) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def names_of_key(key: Node) -> set[str]:
    """How a key may be written in a path: as in the document, or as what YAML reads (`on` is True)."""
    names = {str(key.value)}
    if key.tag == "tag:yaml.org,2002:bool":
        names.add(str(yaml.SafeLoader.bool_values[key.value.lower()]))
    return names


def line_starts(text: str) -> list[int]:
    """The characters that lines begin with, but for the first line; lines end where YAML ends them."""
    return [found.end() for found in _LINE_END.finditer(text)]


def place_of(position: int, starts: Sequence[int]) -> tuple[int, int]:
    """Line and column of a character, both from 1; `starts` is from `line_starts`."""
    number = bisect_right(starts, position)
    return number + 1, position - (starts[number - 1] if number else 0) + 1


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._measured: dict[Node, tuple[int, int]] = {}
        self.repeated: list[tuple[str, yaml.Mark]] = []

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._depth += 1
        if self._depth > DEEPEST:
            raise ComposerError(None, None, _TOO_DEEP, event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None and node not in self._measured:
            if isinstance(event, yaml.AliasEvent):
                raise ComposerError(None, None, "an alias within what it stands for", event.start_mark)  # type: ignore[arg-type]
            self._measured[node] = self._measure(node)
        return node

    def values_in(self, node: Node) -> int:
        """How many values are in a document that was read."""
        return self._measured[node][0]

    def flatten(self, node: Node) -> None:
        """Resolve the merge keys in a document."""
        if isinstance(node, MappingNode):
            self.flatten_mapping(node)
        for child in self._children(node):
            self.flatten(child)

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError):  # `!!int x`, a month 13
            raise ConstructorError(None, None, f"not a value of {_tag(node)}", node.start_mark) from None

    def _measure(self, node: Node) -> tuple[int, int]:
        """How many values are in it, itself included, and how deep it is.  Its children have been measured."""
        if isinstance(node, MappingNode):
            self._find_repetition(node)
        measures = [self._measured[child] for child in self._children(node)]
        count = 1 + sum(count for count, _ in measures)
        depth = 1 + max((depth for _, depth in measures), default=0)
        if count > MOST:
            raise _too_many(node)
        if depth > DEEPEST:
            raise ComposerError(None, None, _TOO_DEEP, node.start_mark)
        return count, depth

    def _children(self, node: Node) -> list[Node]:
        if isinstance(node, MappingNode):
            return [each for pair in node.value for each in pair]
        return node.value if isinstance(node, SequenceNode) else []

    def _find_repetition(self, node: MappingNode) -> None:
        """Keys are equal when their values are, or when they read the same: `1` and `"1"`, `on` and `true`."""
        seen: dict[Hashable, tuple[int, Node]] = {}
        for index, (key, _) in enumerate(node.value):
            if not isinstance(key, ScalarNode):
                raise ComposerError(None, None, "a key must be a text", key.start_mark)
            for reading in self._readings(key):
                number, first = seen.setdefault(reading, (index, key))
                if number != index:
                    again = f"the key {key.value[:_SHOWN]!r} is repeated, it is in line {first.start_mark.line + 1} too"
                    self.repeated.append((again, key.start_mark))
                    break

    def _readings(self, key: ScalarNode) -> set[Hashable]:
        written = "text", key.value
        if key.tag == _MERGE:
            return {written}
        value = self.construct_object(key)
        as_text = value if isinstance(value, str) else json.dumps(value, default=str)
        return {written, ("text", as_text), ("text", str(value)), ("value", value)}


def _too_many(node: Node) -> ComposerError:
    return ComposerError(None, None, f"more than {MOST} values, aliases counted each time", node.start_mark)


def _tag(node: Node) -> str:
    return str(node.tag).replace("tag:yaml.org,2002:", "!!")[:_SHOWN]
