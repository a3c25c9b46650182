"""`$ref` with the schema in its place, for servers that do not resolve references.

The work is bounded: a reference inside of its own target, a target that is nowhere, and every reference after
MAX_NODES copied schemas become a schema that allows anything.
"""

from __future__ import annotations

from typing import Any

from asgi_llmgate.protocol.servers.schemas.keywords import SCHEMA_LISTS, SCHEMA_MAPS, SCHEMAS, Schema

MAX_NODES = 2_000
"""Schemas that are copied into one tool's schema."""

_DEFINITIONS = ("$defs", "definitions")


def inline_references(root: Schema) -> Schema:
    """The schema without `$ref` and definitions."""
    inlined = _Inliner(root).node(root, ())
    assert isinstance(inlined, dict)
    return inlined


def find_target(root: Schema, reference: object) -> Schema | None:
    """The schema that a reference such as `#/$defs/Address` names; None for one that is not in this document."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    target: Any = root
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and name.isascii() and name.isdigit() and int(name) < len(target):
            target = target[int(name)]
        elif isinstance(target, dict) and name in target:
            target = target[name]
        else:
            return None
    return target if isinstance(target, dict) else None


class _Inliner:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._copied = 0

    def node(self, value: Any, inside: tuple[str, ...]) -> Any:
        """A schema without references.  `inside` are the references whose targets this is a part of."""
        if not isinstance(value, dict):
            return value
        if inside:
            self._copied += 1
        if "$ref" in value:
            value, inside = self._resolve(value, inside)
        inlined = {}
        for keyword, part in value.items():
            if keyword in _DEFINITIONS:
                continue
            if keyword in SCHEMA_MAPS and isinstance(part, dict):
                part = {name: self.node(each, inside) for name, each in part.items()}
            elif isinstance(part, list) and (keyword in SCHEMA_LISTS or keyword in SCHEMAS):
                part = [self.node(each, inside) for each in part]
            elif keyword in SCHEMAS:
                part = self.node(part, inside)
            inlined[keyword] = part
        return inlined

    def _resolve(self, value: Schema, inside: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """The target of a reference with the keywords beside the reference, which count more, and its place."""
        reference = value["$ref"]
        beside = {keyword: part for keyword, part in value.items() if keyword != "$ref"}
        seen: list[str] = []
        target: Schema | None = value
        while target is not None and "$ref" in target:
            reference = target["$ref"]
            if reference in inside or reference in seen or self._copied >= MAX_NODES:
                return beside, inside
            seen.append(reference)
            target = find_target(self._root, reference)
        return {**(target or {}), **beside}, (*inside, *seen)
