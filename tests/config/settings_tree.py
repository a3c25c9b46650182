"""Settings with every key, as a tree that is written as YAML with the place of each member, and mistakes made in it.

The places are counted while the text is written, so that they do not come from the code under test.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Tree = dict[str, Any]
Path = tuple[str | int, ...]
Place = tuple[int, int]

EVERYTHING: Tree = {
    "auth": {
        "mode": "optional",
        "token_sources": ["authorization", "cookie:session"],
        "cache_ttl": 60.0,
        "max_token_size": 9000,
        "protected_resource": {"url": "https://apps.acme.test/llm", "name": "Acme"},
        "providers": [
            {
                "name": "lab",
                "issuer": "https://idp.acme.test",
                "audiences": ["llm"],
                "jwks": {"file": "jwks.json"},
                "algorithms": ["RS256"],
                "leeway": 10.0,
                "client_ids": ["claude"],
                "token_types": ["JWT"],
                "tokens_without_kid": False,
                "require_access_token": False,
                "required_claims": ["exp"],
                "required_values": {"tid": ["x", "y"]},
                "required_scopes": ["llm"],
                "profile": "rfc9068",
                "claim_map": {"team": "groups.first"},
                "max_lifetime": 3600.0,
                "cooldown": 10.0,
            },
            {
                "preset": "okta",
                "issuers": ["https://acme.okta.com/oauth2/default"],
                "audiences": ["llm"],
                "jwks": {"url": "https://acme.okta.com/keys", "token_file": "t", "ca_file": "ca.pem"},
                "introspection": {
                    "url": "https://acme.okta.com/introspect",
                    "client_id": "gate",
                    "client_secret": "env:OUR_SECRET",
                    "client_auth": "post",
                    "tokens": "opaque",
                },
            },
            {"issuer": "https://other.test", "audiences": ["llm"], "discovery_url": "https://other.test/d"},
            {"issuer": "https://third.test", "audiences": ["llm"], "jwks": {"discovery": True}},
            {"issuer": "https://fourth.test", "audiences": ["llm"], "jwks": {"inline": {"keys": []}}},
        ],
    },
    "policy": {
        "default": "deny",
        "engine": "strict",
        "denied_model_status": 400,
        "list_claims": ["groups"],
        "rules": [
            'jwt.org == "acme" && jwt.team == "x"',
            {
                "name": "night",
                "when": 'jwt.team == "batch"',
                "action": "deny",
                "reason": "At night.",
                "mode": "dry_run",
            },
            {"require": ["llm.model in jwt.models", "jwt.a == 1"]},
        ],
        "authorization": {"action": "Allow", "policy": {"matchExpressions": ['jwt.b == "c"']}},
        "deny_subjects": {"file": "denied.txt"},
    },
    "backends": {
        "openai": {
            "base_url": "https://api.openai.test/v1",
            "dialect": "openai",
            "provider": "acme",
            "api_key": "env:OUR_SECRET",
            "extra_body": {"store": False},
            "extra_headers": {"x-team": "llm"},
            "timeouts": {"connect": 1.5, "pool": 2.5, "first_byte": 3.5, "idle": 4.5, "total": 5.5},
        },
        "gpu-1.acme.test": {
            "base_url": "http://gpu-1:8000/v1",
            "dialect": {"base": "vllm", "efforts": ["low", "high"], "stop_max": 4},
            "api_key": {
                "client_credentials": {
                    "token_url": "https://idp.acme.test/token",
                    "client_id": "gate",
                    "client_secret": "env:OUR_SECRET",
                    "client_auth": "basic",
                    "scope": "s",
                    "audience": "a",
                    "resource": "r",
                    "parameters": {"p": "q"},
                }
            },
        },
        "exchanged": {
            "base_url": "http://gpu-2:8000/v1",
            "api_key": {
                "token_exchange": {
                    "token_url": "https://idp.acme.test/token",
                    "client_id": "gate",
                    "style": "on_behalf_of",
                }
            },
        },
        "called": {"base_url": "http://gpu-3:8000/v1", "api_key": {"callable": "os:getpid"}},
    },
    "models": [
        {
            "match": "qwen*",
            "use": ["gpu-1.acme.test/qwen", "openai/gpt"],
            "when": 'jwt.team == "x"',
            "list": ["qwen3"],
            "display_name": "Qwen",
            "max_output_tokens": 100,
            "context_window": 100000,
            "prices": [{"input": 1.5, "output": 2.5}, {"gpu_hour": 3.5}],
        },
        {
            "match": "*",
            "use": "openai/gpt",
            "prices": {"input": 1.5, "output": 2.5, "cache_read": 0.5, "cache_creation": 0.5},
        },
    ],
    "routes": {"/v2/messages": "messages", "/raw": {"passthrough": "openai"}},
    "translation": {
        "ping_interval": 9.5,
        "unsupported_tools": "drop",
        "repair_tool_pairs": False,
        "tool_references": "schemas",
        "response_model": "requested",
        "strict": False,
        "user_id": "off",
    },
    "limits": [{"name": "all", "key": "jwt.sub", "requests": "60/minute", "concurrency": 4, "when": "jwt.a == 1"}],
    "safeguards": {
        "rules": [
            {
                "name": "no-prod",
                "outcome": "flag",
                "when": 'tool.name == "Bash" && tool.input.command.contains("prod")',
                "reason": "The pipeline does that.",
                "mode": "dry_run",
            }
        ],
        "undecided": "classifier",
        "classifier": {"use": ["gpu-1.acme.test/qwen"], "timeout": 9.5, "on_failure": "flag", "prompt": "p.txt"},
        "override": True,
        "own_classifier": "answer",
        "audit": {"inputs": True, "keep": "30d"},
        "notify": "https://hooks.acme.test/flags",
    },
    "usage": {
        "access_log": {"format": "logfmt", "file": "access.log", "stdout": False},
        "fields": {"team": "jwt.team"},
        "user": "jwt.email",
        "ledger": {"url": "sqlite:///usage.db", "journal": "journal", "keep": "30d"},
        "sinks": [{"callable": "tests.helpers.record_sink:RecordSink"}],
        "prices": "genai-prices",
        "otel": {"semconv": "latest", "server_span": False, "traceparent": False, "labels": ["team"]},
        "prometheus": {"labels": ["team"]},
    },
    "net": {
        "proxy": "none",
        "ca_file": "ca.pem",
        "client_cert": "cert.pem",
        "client_key": "key.pem",
        "transport": "aiohttp",
    },
    "server": {
        "body_limit": "1MiB",
        "body_timeout": 9.5,
        "body_min_rate": "2kB",
        "body_memory": "64MiB",
        "answer_limit": "2MiB",
        "client_stall": 9.5,
        "streams": 10,
        "structure": {
            "depth": 50,
            "values": 9000,
            "names": 900,
            "messages": 900,
            "blocks": 900,
            "tools": 90,
            "model": 90,
        },
        "drain": {"signal": False, "after": 9.5},
        "debug": False,
    },
    "secret": ["env:LONG_SECRET", "env:OUR_LONG_SECRET"],
}


@dataclass(frozen=True)
class Mutation:
    """A mistake: `change` makes it in a tree; it is told at the place of `shown`, which is its path in the new tree.

    A finding about a missing key is at what the key would be in; one about a rule is `offset` columns further, at the
    character.
    """

    path: Path
    change: Callable[[Tree], None]
    shown: Path
    place: Path
    words: str
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.words} {as_text(self.path)}"

    def fits_beside(self, other: Mutation) -> bool:
        """Whether neither is inside of the other."""
        length = min(len(self.path), len(other.path))
        return self.path[:length] != other.path[:length]


def write(tree: Tree) -> tuple[str, dict[Path, Place]]:
    """The tree as YAML, in all styles, and the line and column of each key and of each member of a list."""
    lines: list[str] = ["# settings"]
    places: dict[Path, Place] = {}
    _write_mapping(tree, (), 0, lines, places, "")
    return "\n".join(lines) + "\n", places


def _write_mapping(
    tree: Mapping[str, Any], path: Path, indent: int, lines: list[str], places: dict[Path, Place], first: str
) -> None:
    """`first` is what stands in front of the first key: the dash of a list."""
    for key, value in tree.items():
        lead = first or " " * indent
        first = ""
        places[(*path, key)] = len(lines) + 1, len(lead) + 1
        _write_value(value, (*path, key), f"{lead}{_key(key)}:", indent, lines, places)


def _write_value(value: Any, path: Path, lead: str, indent: int, lines: list[str], places: dict[Path, Place]) -> None:
    if isinstance(value, dict) and value and len(path) < 5:
        lines.append(lead)
        _write_mapping(value, path, indent + 2, lines, places, "")
    elif isinstance(value, list) and value and len(path) < 5:
        lines.append(lead)
        for index, item in enumerate(value):
            dash = " " * (indent + 2) + "- "
            places[*path, index] = len(lines) + 1, len(dash) + 1
            if isinstance(item, dict) and item:
                _write_mapping(item, (*path, index), indent + 4, lines, places, dash)
            else:
                lines.append(dash + _flow(item, (*path, index), len(lines) + 1, len(dash), places))
    else:
        lines.append(f"{lead} " + _flow(value, path, len(lines) + 1, len(lead) + 1, places))


def _flow(value: Any, path: Path, line: int, column: int, places: dict[Path, Place]) -> str:
    """The value in one line; `column` characters stand in front of it."""
    if isinstance(value, dict):
        text = "{"
        for key, item in value.items():
            text += ", " if len(text) > 1 else ""
            places[*path, key] = line, column + len(text) + 1
            text += f"{_key(key)}: "
            text += _flow(item, (*path, key), line, column + len(text), places)
        return text + "}"
    if isinstance(value, list):
        text = "["
        for index, item in enumerate(value):
            text += ", " if len(text) > 1 else ""
            places[*path, index] = line, column + len(text) + 1
            text += _flow(item, (*path, index), line, column + len(text), places)
        return text + "]"
    return json.dumps(value)


def _key(key: str) -> str:
    return json.dumps(key) if key.startswith("/") else key


def as_text(path: Path) -> str:
    """The path as findings write it."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """All members with their paths, the outer ones first."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in members:
        yield (*path, step), item
        yield from walk(item, (*path, step))


def parent_of(tree: Tree, path: Path) -> Any:
    for step in path[:-1]:
        tree = tree[step]  # type: ignore[index]
    return tree


def mutated(tree: Tree, mutations: list[Mutation]) -> Tree:
    """A copy with these mistakes."""
    made = copy.deepcopy(tree)
    for mutation in mutations:
        mutation.change(made)
    return made


def misspelt(path: Path) -> Mutation:
    """The key with its last letter twice."""
    wrong = f"{path[-1]}{str(path[-1])[-1]}"

    def change(tree: Tree) -> None:
        parent = parent_of(tree, path)
        items = [(wrong if key == path[-1] else key, value) for key, value in parent.items()]
        parent.clear()
        parent.update(items)

    shown = (*path[:-1], wrong)
    return Mutation(path, change, shown, shown, "unknown key")


def replaced(path: Path, value: Any) -> Mutation:
    """The value replaced by one of a wrong type."""

    def change(tree: Tree) -> None:
        parent_of(tree, path)[path[-1]] = value

    return Mutation(path, change, path, path, "must be")


def bad_rule(path: Path) -> Mutation:
    """An expression whose first word is no variable."""
    change = replaced(path, "jtw.a == 1").change
    before = len(f"{path[-1]}: ") if isinstance(path[-1], str) else 0
    return Mutation(path, change, path, path, "unknown variable", before + len('"'))


def removed(path: Path) -> Mutation:
    """The key left out."""

    def change(tree: Tree) -> None:
        del parent_of(tree, path)[path[-1]]

    return Mutation(path, change, path, path[:-1], "this key is missing")
