"""Reads manifests: YAML files with several documents, `-` for standard input, and `kind: List`.

Each value knows its file, line and path.  Reading a value marks it; what nobody has read is reported at the end, so
that nothing of a manifest is lost in silence.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from asgi_llmgate.config.checking.findings import Finding, Severity
from asgi_llmgate.config.schema import VARIABLE
from asgi_llmgate.config.yaml_text import (
    LARGEST,
    BadYAML,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    read_documents,
    value_of,
)
from asgi_llmgate.errors import SettingsError

_NULL = "tag:yaml.org,2002:null"
_QUOTED = re.compile(r"(alias|anchor|tag|handle) '[^']*'")


def printable(text: str) -> str:
    """The text in one line, without characters that a terminal or a comment could take for something else."""
    return "".join(char if char.isprintable() else " " for char in text)


class Entry:
    """A value of a manifest: a mapping, a list or a scalar; false where it is absent, null or empty.

    path  its place in the document, as people write it (`spec.rules[0].matches`)
    file  the file's name, as it was given; line and column are those of its key, if it has one
    """

    __slots__ = ("_at", "_elements", "_members", "_node", "_seen", "file", "path")

    def __init__(self, node: Node | None, path: str, file: str, key: Node | None = None) -> None:
        self._node = node
        self._at = key or node
        self.path = path
        self.file = file
        self._seen = False
        self._members: dict[str, Entry] | None = None
        self._elements: list[Entry] | None = None

    def __bool__(self) -> bool:
        return self._node is not None and self._node.tag != _NULL

    def __repr__(self) -> str:
        return f"Entry({self.path})"  # a value may be a secret

    @property
    def line(self) -> int:
        return self._at.start_mark.line + 1 if self._at is not None else 0

    @property
    def place(self) -> str:
        """`lab.yaml:12`"""
        return f"{printable(self.file)}:{self.line}"

    def finding(self, severity: Severity, message: str, hint: str = "") -> Finding:
        column = self._at.start_mark.column + 1 if self._at is not None else 0
        return Finding(severity, message, self.path, hint, printable(self.file), self.line, column)

    def error(self, message: str, hint: str = "") -> SettingsError:
        return SettingsError(str(self.finding("error", message, hint)))

    def get(self, *names: str) -> Entry:
        """The member at the end of these names, marked as read; an absent entry if there is none."""
        entry = self
        for name in names:
            entry._seen = True
            entry = entry._as_mapping().get(name) or Entry(None, _join(entry.path, name), entry.file)
        entry._seen = True
        return entry

    def first(self, *names: str) -> Entry:
        """The first of these members that there is."""
        found = [self.get(name) for name in names if name in self]
        return next(filter(None, found), found[0] if found else self.get(names[0]))

    def __contains__(self, name: str) -> bool:
        return name in self._as_mapping()

    def items(self) -> list[tuple[str, Entry]]:
        """The members of a mapping; they are not marked."""
        self._seen = True
        return list(self._as_mapping().items())

    def each(self) -> list[Entry]:
        """The elements of a list."""
        self._seen = True
        if not self:
            return []
        elements = self._as_list()
        if elements is None:
            raise self.error("must be a list")
        for element in elements:
            element._seen = True
        return elements

    def skip(self, *names: str) -> None:
        """Mark members that have no meaning for a gateway, with all that is in them."""
        for name in names:
            if name in self:
                self._as_mapping()[name].accept()

    def accept(self) -> Self:
        """Mark this with all that is in it."""
        self._seen = True
        for child in self._children():
            child.accept()
        return self

    def text(self, default: str = "") -> str:
        """A scalar as it is written: a version such as 2024-10-21 is no date."""
        self._seen = True
        if not self:
            return default
        if not isinstance(self._node, ScalarNode):
            raise self.error("must be a text")
        if VARIABLE.search(self._node.value):
            hint = "envsubst puts the values in"
            raise self.error("a text with ${NAME}, which llmgate.yaml would read from the environment", hint)
        return str(self._node.value)

    @property
    def is_text(self) -> bool:
        return bool(self) and isinstance(self._node, ScalarNode)

    def raw(self) -> str:
        """A scalar as it is written, a `${NAME}` included."""
        self._seen = True
        return str(self._node.value) if self and isinstance(self._node, ScalarNode) else ""

    def number(self, default: int) -> int:
        text = self.text()
        if not text:
            return default
        if not re.fullmatch(r"[0-9]{1,15}", text):
            raise self.error("must be a whole number")
        return int(text)

    def value(self) -> Any:
        """Everything in it as plain values, marked as read."""
        self.accept()
        if self._node is None:
            return None
        if any(VARIABLE.search(text) for text in self._texts()):
            raise self.error("a text with ${NAME}, which llmgate.yaml would read from the environment")
        try:
            return value_of(self._node)
        except SettingsError:
            raise self.error("not a value of its type") from None

    def unread(self) -> Iterator[Entry]:
        """What nobody has read, from the top: the members of an entry that is reported are not."""
        if not self._seen:
            yield self
            return
        for child in self._children():
            yield from child.unread()

    def _children(self) -> list[Entry]:
        return [*self._as_mapping(strict=False).values(), *(self._as_list() or ())]

    def _texts(self) -> Iterator[str]:
        if isinstance(self._node, ScalarNode):
            yield str(self._node.value)
        for child in self._children():
            yield from child._texts()

    def _as_mapping(self, *, strict: bool = True) -> dict[str, Entry]:
        if self._members is None:
            self._members = {}
            if isinstance(self._node, MappingNode):
                for key, value in self._node.value:
                    name = str(key.value)
                    self._members[name] = Entry(value, _join(self.path, name), self.file, key)
        if strict and self and not isinstance(self._node, MappingNode):
            raise self.error("must be a mapping")
        return self._members

    def _as_list(self) -> list[Entry] | None:
        if self._elements is None and isinstance(self._node, SequenceNode):
            self._elements = [
                Entry(node, f"{self.path}[{index}]", self.file) for index, node in enumerate(self._node.value)
            ]
        return self._elements


@dataclass(frozen=True, slots=True)
class Manifest:
    """One resource of a cluster, or one configuration file of agentgateway (`kind` is empty)."""

    root: Entry
    api: str
    kind: str
    namespace: str
    name: str

    @property
    def spec(self) -> Entry:
        return self.root.get("spec")

    @property
    def labels(self) -> dict[str, str]:
        return {name: value.text() for name, value in self.root.get("metadata", "labels").items()}

    def __str__(self) -> str:
        return printable(f"{self.kind} {self.name}")


def read_manifests(names: Sequence[str]) -> list[Manifest]:
    """The resources of the files, in their order.  Raises SettingsError with file and line."""
    return [found for name in names for root in _read(name) for found in _unpack(root)]


def _read(name: str) -> list[Entry]:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with open(name, "rb") as file:
                data = file.read(LARGEST + 1)
    except OSError as error:
        raise SettingsError(f"cannot read {printable(name)}: {error.strerror}") from None
    shown = "<stdin>" if name == "-" else name
    try:
        nodes = read_documents(data, printable(shown))
    except BadYAML as error:
        # PyYAML quotes what it has found, which may be a secret: `key: *sk-1234` is an alias that does not exist.
        problem = "not valid YAML: " + _QUOTED.sub(r"\1", error.cause)
        line, column = error.place or (0, 0)
        found = Finding("error", problem, hint=error.hint, file=printable(shown), line=line, column=column)
        raise SettingsError(str(found)) from None
    return [root for node in nodes if (root := Entry(node, "", shown))]


def _unpack(root: Entry) -> Iterator[Manifest]:
    """The resource that a document is; of a `kind: List` its items."""
    kind = root.get("kind").text()
    root.skip("apiVersion")
    if kind == "List" or (kind.endswith("List") and "items" in root):
        root.skip("metadata")
        for item in root.get("items").each():
            yield from _unpack(item)
        return
    if kind:
        root.skip("metadata", "status")
    elif "metadata" in root or "spec" in root:
        raise root.error("a resource without kind")
    metadata = root.get("metadata") if kind else Entry(None, "metadata", root.file)
    name, namespace = metadata.get("name").text(), metadata.get("namespace").text("default")
    yield Manifest(root, root.get("apiVersion").text(), kind, namespace, name)


def _join(path: str, name: str) -> str:
    shown = printable(name)[:80]
    return f"{path}.{shown}" if path else shown
