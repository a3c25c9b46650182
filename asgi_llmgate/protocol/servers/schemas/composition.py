"""`anyOf`, `oneOf` and `allOf` in other forms.

Each form allows at least what the original allows.  Where a form cannot say the same it says less: the tool itself
checks what it gets, and a server that refuses the schema refuses the whole request.
"""

from __future__ import annotations

from typing import Any

from asgi_llmgate.protocol.servers.schemas.keywords import ANNOTATIONS, Schema, note
from asgi_llmgate.protocol.servers.schemas.references import find_target

_COMBINATORS = ("allOf", "anyOf", "oneOf")

_BESIDE = ANNOTATIONS | {"anyOf", "$defs", "definitions", "$schema", "$id", "nullable"}
"""What may stand beside `anyOf`."""

_CONDITION = ("if", "then", "else")

_LARGEST = 200
"""Copied keywords; with more, the alternatives are left out instead of repeating what stands beside them."""


def flat_root(root: Schema) -> Schema:
    """A root that is one object, with the properties of all its alternatives; required is what all require."""
    if not any(keyword in root for keyword in (*_COMBINATORS, "enum", "const", "not", "if", "$ref")):
        return root
    flat = {keyword: value for keyword, value in root.items() if keyword not in ("not", *_CONDITION)}
    if "$ref" in flat:
        flat = {**(find_target(root, flat.pop("$ref")) or {}), **flat}
    for keyword in ("enum", "const"):
        note(flat, keyword, flat.pop(keyword, None))
    for keyword in _COMBINATORS:
        if keyword in flat:
            branches = [_target(root, branch) for branch in _as_list(flat.pop(keyword))]
            flat = _merge_objects(flat, branches, need_all=keyword == "allOf")
    return flat


def _target(root: Schema, branch: object) -> Schema:
    """A branch, or what it refers to; its own branches are merged into it."""
    if not isinstance(branch, dict):
        return {}
    if "$ref" in branch:
        branch = {**(find_target(root, branch["$ref"]) or {}), **branch}
    for keyword in _COMBINATORS:
        inner = [each for each in _as_list(branch.get(keyword)) if isinstance(each, dict)]
        if inner:
            branch = _merge_objects(branch, inner, need_all=keyword == "allOf")
    return branch


def _merge_objects(base: Schema, branches: list[Schema], *, need_all: bool) -> Schema:
    properties: Schema = dict(_as_dict(base.get("properties")))
    alternatives: dict[str, list[Any]] = {}
    for branch in branches:
        for name, schema in _as_dict(branch.get("properties")).items():
            known = alternatives.setdefault(name, [properties[name]] if name in properties else [])
            if schema not in known:
                known.append(schema)
    for name, schemas in alternatives.items():
        # A property of several branches may be what any of them allows.
        properties[name] = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    required = _required(base)
    each = [_required(branch) for branch in branches]
    if need_all:
        more = [name for names in each for name in names]
    else:
        more = [name for name in each[0] if all(name in names for names in each)] if each else []
    required += [name for name in dict.fromkeys(more) if name not in required]
    merged = {**base, "properties": properties}
    # The names of one branch are not closed for those of another one.
    if properties.keys() != _as_dict(base.get("properties")).keys():
        merged.pop("additionalProperties", None)
    if required:
        merged["required"] = required
    return merged


def _required(node: Schema) -> list[str]:
    return [name for name in _as_list(node.get("required")) if isinstance(name, str)]


def drop_never(node: Schema) -> None:
    """Alternatives without `{"not": {}}`, which is how zod 3 says that a property may be missing."""
    for keyword in ("anyOf", "oneOf"):
        branches = node.get(keyword)
        if isinstance(branches, list):
            possible = [branch for branch in branches if branch is not False and branch != {"not": {}}]
            if len(possible) == 1 < len(branches) and isinstance(possible[0], dict):
                del node[keyword]
                for name, value in possible[0].items():
                    node.setdefault(name, value)
            elif possible:
                node[keyword] = possible


def one_of_to_any_of(node: Schema) -> None:
    """`anyOf` for `oneOf`."""
    if "oneOf" in node:
        branches = node.pop("oneOf")
        node.setdefault("anyOf", branches)


def merge_all_of(node: Schema) -> None:
    """One schema for those of `allOf`.  Of two values for one keyword the first counts."""
    for branch in _as_list(node.pop("allOf", None)):
        for keyword, value in _as_dict(branch).items():
            if keyword == "properties":
                own = _as_dict(node.get("properties"))
                node["properties"] = {**_as_dict(value), **own}
            elif keyword == "required":
                node["required"] = list(dict.fromkeys([*_required(node), *_required(branch)]))
            elif keyword in _CONDITION or (keyword == "additionalProperties" and value is False):
                pass  # a condition would get parts of another; a closed branch closes its own names only
            else:
                node.setdefault(keyword, value)


def distribute(node: Schema) -> None:
    """Put what stands beside `anyOf` into each alternative, so that `anyOf` stands alone."""
    branches = node.get("anyOf")
    if not isinstance(branches, list):
        return
    beside = {keyword: value for keyword, value in node.items() if keyword not in _BESIDE}
    schemas = [branch for branch in branches if isinstance(branch, dict)]
    # Alternatives such as {"required": ["a"]} say little, and would repeat everything.
    says_little = beside and not any(branch.keys() - ANNOTATIONS - {"required", "not"} for branch in schemas)
    size = sum(len(value) if isinstance(value, (dict, list)) else 1 for value in beside.values())
    if not schemas or says_little or size * len(schemas) > _LARGEST:
        del node["anyOf"]
        return
    if beside:
        node["anyOf"] = [_beside(beside, branch) for branch in schemas]
        for keyword in beside:
            del node[keyword]


def _beside(outer: Schema, branch: Schema) -> Schema:
    """An alternative with what stood beside it; what it says itself counts more."""
    unmixed = branch if "if" in branch else outer
    both = {k: v for k, v in {**outer, **branch}.items() if k not in _CONDITION or k in unmixed}
    if "properties" in outer or "properties" in branch:
        both["properties"] = {**_as_dict(outer.get("properties")), **_as_dict(branch.get("properties"))}
    if required := list(dict.fromkeys([*_required(outer), *_required(branch)])):
        both["required"] = required
    distribute(both)
    return both


def collapse(node: Schema) -> None:
    """Instead of `anyOf` its only alternative beside null, one object for several objects, or else one type."""
    schemas = [branch for branch in _as_list(node.pop("anyOf", None)) if isinstance(branch, dict)]
    filled = [branch for branch in schemas if branch.get("type") != "null"]
    if len(filled) < len(schemas) or any(branch.get("nullable") is True for branch in filled):
        node["nullable"] = True
    types = {str(branch.get("type")) for branch in filled}
    if len(filled) == 1:
        for keyword, value in filled[0].items():
            node.setdefault(keyword, value)
    elif types == {"object"}:
        merged = _merge_objects({"type": "object", **node}, filled, need_all=False)
        node.update(merged)
        if "additionalProperties" not in merged:
            node.pop("additionalProperties", None)
    elif filled:
        node.setdefault("type", types.pop() if len(types) == 1 and "None" not in types else "string")
        note(node, "anyOf", filled)


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _as_dict(value: object) -> Schema:
    return value if isinstance(value, dict) else {}
