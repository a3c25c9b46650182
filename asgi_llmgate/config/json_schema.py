"""The settings as JSON Schema (2020-12), for editors: what each key means, examples, defaults.

Types and limits come from the structs, descriptions and defaults from the reference page (settings_page.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import msgspec

from asgi_llmgate.auth.providers.presets import PRESETS
from asgi_llmgate.config.schema import Settings
from asgi_llmgate.config.settings_page import read_page
from asgi_llmgate.config.yaml_text import read_yaml
from asgi_llmgate.policy.rules import Action, Mode
from asgi_llmgate.protocol.servers.dialects import DIALECTS

DIALECT = "https://json-schema.org/draft/2020-12/schema"

EXAMPLES: dict[str, list[Any]] = {
    "auth.providers[].audiences": [["anthropic-api"]],
    "auth.providers[].issuer": ["https://login.acme.test/oauth2/default"],
    "auth.providers[].jwks": [{"file": ".llmgate/jwks.json"}, {"discovery": True}],
    "auth.providers[].preset": [*PRESETS],
    "auth.token_sources": [["authorization", "x-api-key"]],
    "backends": [{"vllm": {"dialect": "vllm", "base_url": "http://127.0.0.1:8000/v1"}}],
    "backends.*.api_key": ["env:OPENAI_API_KEY", "file:/run/secrets/openai"],
    "backends.*.base_url": ["https://api.openai.com/v1", "http://127.0.0.1:11434/v1"],
    "backends.*.dialect": [*DIALECTS],
    "limits[].key": ["identity.subject"],
    "limits[].requests": ["60/minute"],
    "models": [[{"match": "*", "use": "openai/gpt-4o-mini", "max_output_tokens": 16384}]],
    "models[].match": ["*", "claude-*"],
    "models[].use": ["openai/gpt-4o-mini", ["vllm/qwen3-coder", "openai/gpt-4o-mini"]],
    "net.proxy": ["none", "http://proxy.acme.test:3128"],
    "policy.rules": [['jwt.team == "data-platform"']],
    "policy.rules[].reason": ["Ask #ai-platform for access to this model."],
    "policy.rules[].when": ['jwt.team == "data-platform"'],
    "routes": [{"/v1/chat/completions": "completions"}],
    "secret": ["env:LLMGATE_SECRET"],
    "server.body_limit": ["32MiB"],
    "usage.fields": [{"team": "jwt.team"}],
    "usage.user": ["jwt.email", "jwt.preferred_username"],
    "usage.ledger.keep": ["90d", None],
    "usage.ledger.url": ["sqlite:///llmgate.db", "postgresql://gateway@db.acme.test/llmgate"],
}
"""Path of a key -> values that an editor offers.  Each is valid (tests/config/test_json_schema.py)."""


def json_schema() -> dict[str, Any]:
    """The schema.  Raises LookupError where the reference page has a key that the settings do not have."""
    schema: dict[str, Any] = {"$schema": DIALECT, "title": "llmgate.yaml", **msgspec.json.schema(Settings)}
    for definition in schema["$defs"].values():
        del definition["title"]  # the name of a class says nothing to a person
        if definition is not schema["$defs"]["Settings"]:
            definition.pop("description", None)  # an editor would show it in place of the property's
    schema["$defs"]["PolicySettings"]["properties"]["rules"]["items"]["anyOf"][1] = _rule()
    for row in read_page():
        nodes = list(find(schema, row.path))
        if not nodes:
            raise LookupError(f"the settings have no key {row.path}")
        for node in nodes:
            _merge_null(node)
            if "anyOf" not in node:  # an editor shows the title of such a node twice
                node.setdefault("title", row.path)
            node["description"] = row.description
            if literal := re.fullmatch(r"`([^`]+)`", row.default):
                node["default"] = read_yaml(literal[1].encode(), "the reference page")
            elif node.get("default", "") in (None, "", (), [], {}) or isinstance(node.get("default"), dict):
                node.pop("default", None)  # it says no more than that the key may be left out
            if row.path in EXAMPLES:
                node["examples"] = EXAMPLES[row.path]
    return schema


def find(schema: dict[str, Any], path: str) -> Iterator[dict[str, Any]]:
    """The properties of a schema at a path like those of the reference page: `auth.providers[].issuer`."""
    nodes = [schema]
    for step in path.replace("[]", ".[]").split("."):
        nodes = [found for node in nodes for found in _members(schema, node, step)]
    yield from nodes


def _members(schema: dict[str, Any], node: dict[str, Any], step: str) -> Iterator[dict[str, Any]]:
    name = node.get("$ref", "").removeprefix("#/$defs/")
    if name:
        yield from _members(schema, schema["$defs"][name], step)
    for part in node.get("anyOf", ()):
        yield from _members(schema, part, step)
    found = {"[]": node.get("items"), "*": node.get("additionalProperties")}.get(
        step, node.get("properties", {}).get(step)
    )
    if isinstance(found, dict):
        yield found


def _merge_null(node: dict[str, Any]) -> None:
    """Write "this or null" as one type, as people do: editors explain alternatives one by one."""
    alternatives = node.get("anyOf", ())
    if len(alternatives) != 2 or alternatives[1] != {"type": "null"}:
        return
    first = alternatives[0]
    if "type" in first:
        node |= first | {"type": [first["type"], "null"]}
        del node["anyOf"]
    elif first.keys() == {"enum"}:
        node["enum"] = [*first["enum"], None]
        del node["anyOf"]


def _rule() -> dict[str, Any]:
    """A rule that is written as a mapping.  policy/rules.py reads it by itself, so no struct describes it."""

    def text() -> dict[str, Any]:
        return {"type": "string"}

    def texts() -> dict[str, Any]:
        return {"type": "array", "items": text(), "minItems": 1}

    def condition() -> dict[str, Any]:
        return {"anyOf": [text(), texts()]}

    actions: tuple[str, ...] = get_args(Action)
    return {
        "type": "object",
        "properties": {
            "name": text(),
            "action": {"enum": [*actions, *map(str.capitalize, actions)]},
            "when": condition(),
            "reason": text(),
            "mode": {"enum": [*get_args(Mode)]},
            **{action: condition() for action in actions},
            "matchExpressions": texts(),
            "policy": {"type": "object"},
        },
        "additionalProperties": False,
    }
