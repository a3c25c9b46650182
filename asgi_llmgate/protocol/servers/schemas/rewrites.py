"""JSON schemas for servers that accept a part of JSON Schema only.

A rewrite has a name, and a set of names says what a schema must become: `NAMES` are the rewrites, `PROFILES` are sets
of them for one kind of server, and `-keyword` removes a keyword.  They are a column of the dialect table
(`Dialect.tool_schemas`) and corrections (`corrections.tool_schemas`).

A rewritten schema allows at least what the original allows, as far as the server can be told it: the tool itself checks
its input, and a model that is told a constraint in words keeps to it, too.  A schema in which nothing is to be changed
stays the same bytes.  The same schema always becomes the same bytes: prompt caches depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from msgspec import Raw

from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.strings import parse_or_none
from asgi_llmgate.protocol.servers.schemas import composition, nodes
from asgi_llmgate.protocol.servers.schemas.keywords import SCHEMA_LISTS, SCHEMA_MAPS, SCHEMAS, Schema, note
from asgi_llmgate.protocol.servers.schemas.references import inline_references
from asgi_llmgate.protocol.servers.schemas.validity import valid_keywords

Rewrites = frozenset[str]

_STEPS: Mapping[str, Callable[[Schema], None]] = MappingProxyType(
    {
        "valid": valid_keywords,
        "-not": composition.drop_never,
        "tuples": nodes.tuples,
        "-oneOf": composition.one_of_to_any_of,
        "-allOf": composition.merge_all_of,
        "-const": nodes.const_to_enum,
        "-exclusiveMinimum": nodes.inclusive_bounds,
        "-exclusiveMaximum": nodes.inclusive_bounds,
        "single_types": nodes.single_types,
        "string_enums": nodes.string_enums,
        "-anyOf": composition.collapse,
        "implied_types": nodes.implied_types,
        "typed": nodes.typed,
        "own_keywords": nodes.own_keywords,
        "known_formats": nodes.known_formats,
        "anchored_patterns": nodes.anchored_patterns,
        "small_counts": nodes.small_counts,
        "property_names": nodes.property_names,
        "object_properties": nodes.object_properties,
        "known_required": nodes.known_required,
        "filled_objects": nodes.filled_objects,
        "array_items": nodes.array_items,
        "lone_any_of": composition.distribute,
    }
)
"""The rewrites of one node, in the order in which they are made."""

_FIRST: tuple[Callable[[Schema], None], ...] = (
    valid_keywords,
    composition.drop_never,
    nodes.tuples,
    nodes.single_types,
    nodes.array_items,
)
"""Those that are also made before the inner schemas are rewritten, because they make inner schemas."""

NAMES = (*(name for name in _STEPS if name[0] != "-"), "references", "flat_root", "boolean_schemas", "shallow")
"""The rewrites beside `-keyword`."""

_REFERENCES = frozenset({"references", "-$ref", "-$defs", "-definitions"})

_PLAIN = frozenset({"type", "description", "properties", "required", "items", "enum"})
_GEMINI = _PLAIN | {"title", "format", "nullable", "anyOf", "default", "example", "propertyOrdering"}
_GEMINI |= {"minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength", "pattern"}
_GEMINI |= {"minimum", "maximum"}

MAX_DEPTH = 5
"""Levels of objects and arrays that `shallow` leaves."""


class Profile(NamedTuple):
    """A set of rewrites.  `keywords` are the only ones that remain; None: all that no rewrite removes."""

    names: Rewrites
    keywords: frozenset[str] | None = None


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        # https://ai.google.dev/api/caching#Schema, a part of OpenAPI 3.0; every other keyword is "Cannot find field"
        "gemini": Profile(
            frozenset(
                {"valid", "references", "flat_root", "boolean_schemas", "tuples", "single_types", "string_enums"}
                | {"typed", "own_keywords", "known_formats", "known_required", "filled_objects", "array_items"}
            ),
            _GEMINI,
        ),
        # https://github.com/MoonshotAI/walle/blob/main/docs/mfjs-spec.md
        "moonshot": Profile(
            frozenset(
                {"valid", "references", "flat_root", "boolean_schemas", "tuples", "typed", "known_required"}
                | {"lone_any_of", "-oneOf", "-allOf", "-const", "-not"}
            )
        ),
        # llama.cpp, LM Studio: common/json-schema-to-grammar.cpp
        "grammar": Profile(
            frozenset(
                {"valid", "flat_root", "lone_any_of", "boolean_schemas", "anchored_patterns", "small_counts", "-not"}
            )
        ),
        # https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use, and Bedrock
        "anthropic": Profile(
            frozenset({"valid", "references", "flat_root", "property_names", "-patternProperties", "-$schema"})
        ),
        # What every server is known to accept.
        "plain": Profile(
            frozenset({*NAMES, "-oneOf", "-allOf", "-anyOf", "-const", "-exclusiveMinimum"})
            - {"filled_objects", "typed"},
            _PLAIN,
        ),
    }
)

MINIMAL = "minimal"
"""The name of the last resort: no schema at all, and its text in the tool's description."""

NO_SCHEMA = b'{"type":"object","properties":{}}'

_LONGEST_CACHED = 16 * 1024
"""Bytes of a schema whose rewritten form is remembered: tools come again with every request."""


def rewrite(schema: bytes, rewrites: Rewrites) -> bytes:
    """The schema for a server that needs these rewrites; the root becomes an object with `properties`.

    A schema that is no JSON object becomes NO_SCHEMA.  The same bytes come back where nothing is to be changed, and
    none where the server wants no schema for a tool without parameters.
    """
    return _cached(schema, rewrites) if len(schema) <= _LONGEST_CACHED else _rewrite(schema, rewrites)


def _rewrite(schema: bytes, rewrites: Rewrites) -> bytes:
    root = objects.read_value(Raw(schema))
    if isinstance(root, str):  # a schema inside a JSON string, as BerriAI/litellm#39844 has it
        schema = root.encode("utf-8", "replace")
        root = parse_or_none(schema)
    if not isinstance(root, dict) or MINIMAL in rewrites:
        return NO_SCHEMA
    before = objects.to_json(root)
    written = _Rewriter(rewrites).root(root)
    if not written:
        return b""
    after = objects.to_json(written)
    return schema if after == before else after


_cached = lru_cache(maxsize=512)(_rewrite)


class _Rewriter:
    def __init__(self, rewrites: Rewrites) -> None:
        profiles = [PROFILES[name] for name in sorted(rewrites) if name in PROFILES]
        self._names = rewrites.union(*(profile.names for profile in profiles))
        kept = [profile.keywords for profile in profiles if profile.keywords is not None]
        self._keywords = frozenset.intersection(*kept) if kept else None
        self._removed = frozenset(name[1:] for name in self._names if name[0] == "-")
        self._steps = list(dict.fromkeys(step for name, step in _STEPS.items() if self._is_asked(name)))
        self._first_steps = [step for step in _FIRST if step in self._steps]

    def root(self, root: Schema) -> Schema:
        """The whole schema; empty for a tool without parameters where an object must not be empty."""
        if not self._names.isdisjoint(_REFERENCES):
            root = inline_references(root)
        if "flat_root" in self._names:
            root = composition.flat_root(root)
        root = _as_object(root)
        if "filled_objects" in self._names and not root["properties"] and not root.get("additionalProperties"):
            return {}
        return _as_object(self._node(root, 1))

    def _is_asked(self, name: str) -> bool:
        """Whether a step is asked for: by its name, or because its keyword is to be removed."""
        if name == "typed" and not self._accepts("anyOf"):
            return False  # alternatives of all types could not be sent
        if name == "implied_types" and "typed" in self._names:
            return True
        return name in self._names or (name[0] == "-" and not self._accepts(name[1:]))

    def _accepts(self, keyword: str) -> bool:
        return keyword not in self._removed and (self._keywords is None or keyword in self._keywords)

    def _schema(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return self._node(value, depth)
        if isinstance(value, bool) and "boolean_schemas" in self._names:
            return self._node({}, depth)  # for `false`, too: it stands where nothing is expected
        return value

    def _node(self, value: Schema, depth: int) -> Schema:
        if "shallow" in self._names and value.get("type") in ("object", "array"):
            if depth > MAX_DEPTH:
                return {keyword: value[keyword] for keyword in ("type", "description") if keyword in value}
            depth += 1
        value = dict(value)
        for step in self._first_steps:
            step(value)
        node = {keyword: self._part(keyword, part, depth) for keyword, part in value.items()}
        # An inner schema that allows more makes these allow less.
        if node.get("not") != value.get("not"):
            del node["not"]
        if node.get("if") != value.get("if"):
            _remove(node, ("if", "then", "else"))
        if node.get("oneOf") != value.get("oneOf"):
            composition.one_of_to_any_of(node)
        for step in self._steps:
            step(node)
        if node.get("items") == {}:  # of a step: no rewrite has seen it
            node["items"] = self._node({}, depth)
        self._remove_keywords(node)
        return node

    def _part(self, keyword: str, part: Any, depth: int) -> Any:
        if keyword in SCHEMA_MAPS and isinstance(part, dict):
            return {name: self._schema(each, depth) for name, each in part.items()}
        if isinstance(part, list) and (keyword in SCHEMA_LISTS or keyword in SCHEMAS):
            return [self._schema(each, depth) for each in part]
        if keyword in ("additionalProperties", "unevaluatedProperties", "unevaluatedItems") and isinstance(part, bool):
            return part  # switches, for every server
        return self._schema(part, depth) if keyword in SCHEMAS else part

    def _remove_keywords(self, node: Schema) -> None:
        removed = [keyword for keyword in node if not self._accepts(keyword)]
        for keyword in removed:
            note(node, keyword, node.pop(keyword))
        if not {"properties", "patternProperties"}.isdisjoint(removed):
            # A closed object would be closed for these, too.
            _remove(node, ("additionalProperties", "unevaluatedProperties"))
        if "if" in removed:
            _remove(node, ("then", "else"))


def _as_object(root: Schema) -> Schema:
    """The schema of an object: what every server requires, and every tool has, of the root."""
    if root.get("type") != "object":
        root = {"type": "object", **{keyword: value for keyword, value in root.items() if keyword != "type"}}
    return root if isinstance(root.get("properties"), dict) else {**root, "properties": {}}


def _remove(node: Schema, keywords: Iterable[str]) -> None:
    for keyword in keywords:
        node.pop(keyword, None)
