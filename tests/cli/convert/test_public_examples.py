"""Shapes of public example files of agentgateway, written anew: what each becomes, and what of it is named as left out.

They follow files in github.com/agentgateway/agentgateway (Apache-2.0): examples/llm-semantic-routing,
controller/test/e2e/testdata (aibackend, remotejwtauth), controller/pkg/agentgateway (translator/testdata/backends and
routes, plugins/testdata/trafficpolicy and backendpolicy) and controller/api/tests/testdata.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.convert.lab import Conversion, convert

EXAMPLES = Path(__file__).parent / "examples"

EXPECTED: dict[str, dict[str, Any]] = {
    "router-selected": {
        "backends.any": {"base_url": "https://api.openai.com/v1", "dialect": "openai", "api_key": "env:OPENAI_API_KEY"},
        "models": [{"match": "*", "use": "any"}],
        "routes": {"/v1/chat/completions": "completions"},
        "left out": ["spec.traffic.extProc"],
    },
    "two-apis": {
        "backends.chat.base_url": "http://testbox.default.svc.cluster.local:9234/v1",
        "backends.claude.dialect": "anthropic",
        "models": [
            {
                "match": "*",
                "when": '(request.path + "/").startsWith("/v1/chat/completions/")',
                "use": "chat/gpt-4o-mini",
            },
            {
                "match": "*",
                "when": '(request.path + "/").startsWith("/v1/messages/") && "x-direction" in request.headers && '
                'request.headers["x-direction"] == "request"',
                "use": "claude/claude-sonnet-4",
            },
        ],
        "left out": ["spec.backend.ai.promptGuard", "spec.backend.ai.promptGuard"],
    },
    "failover": {
        "models": [{"match": "*", "use": ["pool-first/gpt-4o-mini", "pool-second/gpt-4o-mini"]}],
        "backends.pool-second.base_url": "http://second.default.svc.cluster.local:9234/v1",
        "left out": ["Deployment first is not converted", "Service first is not converted", "spec.backend.health"],
    },
    "remote-keys": {
        "auth": {
            "mode": "strict",
            "providers": [
                {
                    "issuer": "https://idp.acme.test",
                    "audiences": ["SET-THE-AUDIENCE"],
                    "jwks": {"url": "https://idp.acme.test:8443/one/keys"},
                },
                {
                    "issuer": "https://sts.acme.test/t",
                    "audiences": ["api://x"],
                    "jwks": {"url": "https://login.acme.test/k"},
                },
            ],
        },
        "left out": ["spec.policies.tls"],
    },
    "three-priorities": {
        "models": [
            {
                "match": "*",
                "use": [
                    "pool-a/gpt-4o",
                    "pool-b/claude-3-opus",
                    "pool-c/gpt-4o-mini",
                    "pool-d/gemini-1.5-flash",
                    "pool-e/google/gemini-pro",
                    "pool-f/anthropic.claude-3-haiku",
                ],
            }
        ],
        "backends.pool-c.base_url": "https://ai.openai.azure.com/openai/deployments/gpt-4o-mini?api-version=2024-02-15-preview",
        "left out": ["spec.ai.groups[1].providers[1].policies.auth.passthrough"],
    },
    "a-secret-each": {
        "backends.pool-a.api_key": "env:OPENAI_API_KEY",
        "backends.pool-b.api_key": "env:GEMINI_API_KEY",
        "left out": [],
    },
    "prefix": {
        "backends.own": {"base_url": "https://llm.acme.test/api/v2", "dialect": "generic"},
        "left out": ["spec.policies.auth.passthrough"],
    },
    "guardrail": {
        "backends.bedrock.base_url": "https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1",
        "left out": ["spec.ai.provider.bedrock.guardrail", "spec.policies.auth.aws"],
    },
    "custom-providers": {
        "backends.service.base_url": "http://llm-service.default.svc.cluster.local:8080/v1",
        "backends.direct.dialect": {"base": "anthropic", "path": "/api/chat"},
        "left out": ["spec.mcp"],
    },
    "weights": {
        "models": [{"match": "*", "use": ["big/m1", "small/m2"]}],
        "left out": [],
    },
    "limits": {
        "limits": [{"name": "limit", "key": '"all"', "requests": "10/second"}],
        "left out": ["spec.traffic.rateLimit.local[1]: there are no limits of tokens yet"],
    },
    "observed": {
        "usage": {"fields": {"team": "jwt.team", "asked": "llm.requestModel"}},
        "server": {"body_limit": "5MiB"},
        "left out": [
            "spec.frontend.accessLog.attributes.add[2]",
            "spec.frontend.accessLog.filter",
            "spec.frontend.tracing",
        ],
    },
    "body-changes": {
        "backends.openai.extra_body": {"seed": 7},
        "models": [
            {"match": "fast", "use": "openai/nova-micro"},
            {"match": "smart", "use": "openai/claude-3-5-sonnet"},
            {"match": "*", "use": "openai"},
        ],
        "left out": [
            "spec.backend.ai.defaults",
            "spec.backend.ai.finalTransformations",
            "spec.backend.ai.prompt",
            "spec.backend.ai.promptCaching",
        ],
    },
    "by-labels": {
        "policy": {
            "rules": [
                {
                    "name": "labelled",
                    "action": "allow",
                    "when": 'request.headers["x-pre-routing"] == "yes"',
                    "reason": "the policy labelled does not allow this; ask the team that runs the gateway for access",
                }
            ]
        },
        "left out": ["spec.traffic.phase", "spec.traffic.cors"],
    },
    "where-the-token-is": {
        "auth.token_sources": ["header:x-token", "cookie:session"],
        "auth.mode": "optional",
        "left out": [],
    },
}


def at(settings: Any, path: str) -> Any:
    for step in path.split(".", 2):
        settings = settings[step]
    return settings


def left_out(found: Conversion) -> list[str]:
    part = found.said.partition("without a counterpart, so not in the settings:\n")[2]
    return [line.partition(": warning: ")[2] for line in part.splitlines() if ": warning: " in line]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_public_example(name: str) -> None:
    found = convert(str(EXAMPLES / f"{name}.yaml"))
    assert found.code == 0, found
    expected = dict(EXPECTED[name])
    wanted = expected.pop("left out")
    assert {path: at(found.settings, path) for path in expected} == expected
    assert len(left_out(found)) == len(wanted), left_out(found)
    assert all(said.startswith(words) for said, words in zip(sorted(left_out(found)), sorted(wanted), strict=True))


def test_each_example_has_its_expectation() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(EXPECTED)
    assert len(EXPECTED) >= 12


@pytest.mark.parametrize("name", EXPECTED)
def test_strict_is_about_what_is_left_out(name: str) -> None:
    assert convert("--strict", str(EXAMPLES / f"{name}.yaml")).code == int(bool(EXPECTED[name]["left out"]))


FREE = ("modelAliases", "routes", "matchLabels", "value", "metadata", "parentRefs", "allowedRoutes")
"""Mappings whose keys are data, and what has no meaning for a gateway."""


def with_unknown_keys(value: Any, path: str, added: list[str]) -> Any:
    """The value with a key in each mapping that no version of agentgateway has; their paths are `added`."""
    if isinstance(value, list):
        return [with_unknown_keys(item, f"{path}[{index}]", added) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    name = f"unknown{len(added)}"
    added.append(f"{path}.{name}".lstrip("."))
    changed = {
        key: item if key in FREE else with_unknown_keys(item, f"{path}.{key}".lstrip("."), added)
        for key, item in value.items()
    }
    return changed | {name: "x"}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_field_that_is_not_known_is_named(name: str, tmp_path: Path) -> None:
    """By its own path, or as a part of what is left out as a whole."""
    path = tmp_path / "changed.yaml"
    documents = [
        each for each in yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text()) if each["kind"] != "Secret"
    ]
    added: list[str] = []
    path.write_text(yaml.safe_dump_all([with_unknown_keys(each, "", added) for each in documents]))
    found = convert(str(path))
    assert found.code == 0, found
    reported = [said.partition(": ")[0] for said in left_out(found)]
    whole = [kind for kind in ("Deployment", "Service") if f": warning: {kind} " in found.said]
    parts = tuple(f"{said}{sign}" for said in reported for sign in (".", "["))
    missing = [each for each in added if each not in reported and not each.startswith(parts)]
    assert whole or missing == []
    assert len(added) > 5
