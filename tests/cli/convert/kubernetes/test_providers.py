"""Each provider of a backend: address, dialect and model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.convert.kubernetes.resources import backend, resource
from tests.cli.convert.lab import convert_text

GEMINI = "https://generativelanguage.googleapis.com/v1beta/openai"

PROVIDERS: dict[str, tuple[dict[str, Any], str, Any, str]] = {
    "openai": ({"openai": {"model": "gpt-4o"}}, "https://api.openai.com/v1", "openai", "up/gpt-4o"),
    "openai, any model": ({"openai": {}}, "https://api.openai.com/v1", "openai", "up"),
    "a host": (
        {"openai": {"model": "m"}, "host": "llm.acme.test", "port": 8000},
        "http://llm.acme.test:8000/v1",
        "generic",
        "up/m",
    ),
    "a host with TLS": (
        {"openai": {}, "host": "llm.acme.test", "port": 443},
        "https://llm.acme.test/v1",
        "generic",
        "up",
    ),
    "ollama": ({"openai": {"model": "q:7b"}, "host": "box", "port": 11434}, "http://box:11434/v1", "ollama", "up/q:7b"),
    "vllm": ({"openai": {}, "host": "vllm.gpu.svc", "port": 8000}, "http://vllm.gpu.svc:8000/v1", "vllm", "up"),
    "a vendor": (
        {"openai": {"model": "deepseek-chat"}, "host": "api.deepseek.com", "port": 443, "path": "/chat/completions"},
        "https://api.deepseek.com",
        "deepseek",
        "up/deepseek-chat",
    ),
    "a whole path": (
        {"openai": {}, "host": "h", "port": 1, "path": "/api/v1/chat/completions"},
        "http://h:1/api/v1",
        "generic",
        "up",
    ),
    "another path": (
        {"openai": {}, "host": "h", "port": 1, "path": "/custom"},
        "http://h:1",
        {"base": "generic", "path": "/custom"},
        "up",
    ),
    "a prefix": ({"openai": {}, "host": "h", "port": 1, "pathPrefix": "/api/v2"}, "http://h:1/api/v2", "generic", "up"),
    "a prefix at OpenAI": ({"openai": {}, "pathPrefix": "/v2/"}, "https://api.openai.com/v2", "openai", "up"),
    "anthropic": ({"anthropic": {"model": "c"}}, "https://api.anthropic.com/v1", "anthropic", "up/c"),
    "anthropic at a host": (
        {"anthropic": {"model": "c"}, "host": "h", "port": 9, "path": "/a/v1/messages"},
        "http://h:9/a/v1",
        "anthropic",
        "up/c",
    ),
    "gemini": ({"gemini": {"model": "gemini-2.5-pro"}}, GEMINI, "gemini", "up/gemini-2.5-pro"),
    "vertex": (
        {"vertexai": {"model": "gemini-2.5-pro", "projectId": "p1", "region": "us-west1"}},
        "https://us-west1-aiplatform.googleapis.com/v1/projects/p1/locations/us-west1/endpoints/openapi",
        "gemini",
        "up/google/gemini-2.5-pro",
    ),
    "vertex, anywhere": (
        {"vertexai": {"projectId": "p1"}},
        "https://aiplatform.googleapis.com/v1/projects/p1/locations/global/endpoints/openapi",
        "gemini",
        "up",
    ),
    "bedrock": (
        {"bedrock": {"model": "openai.gpt-oss-120b-1:0", "region": "eu-west-1"}},
        "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1",
        "bedrock",
        "up/openai.gpt-oss-120b-1:0",
    ),
    "azure openai": (
        {"azureopenai": {"endpoint": "https://x.openai.azure.com/", "deploymentName": "d"}},
        "https://x.openai.azure.com/openai/v1",
        "azure",
        "up/d",
    ),
    "azure openai of a version": (
        {"azureopenai": {"endpoint": "x.openai.azure.com", "deploymentName": "d", "apiVersion": "2024-10-21"}},
        "https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
        "azure",
        "up/d",
    ),
    "azure": (
        {"azure": {"resourceName": "r", "resourceType": "OpenAI", "model": "m"}},
        "https://r.openai.azure.com/openai/v1",
        "azure",
        "up/m",
    ),
    "azure foundry": (
        {"azure": {"resourceName": "r", "resourceType": "Foundry", "projectName": "p", "model": "m"}},
        "https://r.services.ai.azure.com/api/projects/p/openai/v1",
        "azure",
        "up/m",
    ),
    "custom, a host": (
        {"custom": {"model": "llama3", "formats": [{"type": "Completions"}]}, "host": "h.test", "port": 443},
        "https://h.test/v1",
        "generic",
        "up/llama3",
    ),
    "custom, a service": (
        {"custom": {"backendRef": {"name": "vllm-qwen", "port": 8000}, "formats": [{"type": "Completions"}]}},
        "http://vllm-qwen.default.svc.cluster.local:8000/v1",
        "vllm",
        "up",
    ),
    "custom, messages": (
        {"custom": {"formats": [{"type": "Messages", "path": "/api/chat"}]}, "host": "h", "port": 443},
        "https://h",
        {"base": "anthropic", "path": "/api/chat"},
        "up",
    ),
}


@pytest.mark.parametrize(("provider", "address", "dialect", "use"), PROVIDERS.values(), ids=PROVIDERS)
def test_a_provider(provider: dict[str, Any], address: str, dialect: Any, use: str, tmp_path: Path) -> None:
    found = convert_text(tmp_path, backend(provider, "up"))
    assert found.code == 0, found
    assert found.settings["backends"] == {"up": {"base_url": address, "dialect": dialect}}
    assert found.settings["models"] == [{"match": "*", "use": use}]
    assert "without a counterpart" not in found.said


@pytest.mark.parametrize("skip", [{}, {"insecureSkipVerify": "Hostname"}, {"insecureSkipVerify": "All"}])
def test_tls_at_a_host_whose_port_does_not_say_it(skip: dict[str, str], tmp_path: Path) -> None:
    found = convert_text(tmp_path, backend({"openai": {}, "host": "h", "port": 8443}, "up", tls=skip))
    assert found.code == 0, found
    assert found.settings["backends"]["up"]["base_url"] == "https://h:8443/v1"
    assert ("insecureSkipVerify: the server's certificate is always verified" in found.said) == bool(skip)


def test_priorities(tmp_path: Path) -> None:
    """Groups are asked in their order; within a group there is no turn, which is said."""
    first = [{"name": "a", "openai": {"model": "m1"}}, {"name": "b", "anthropic": {"model": "m2"}}]
    second = [{"name": "c", "gemini": {"model": "m3"}}]
    spec = {"ai": {"groups": [{"providers": first}, {"providers": second}]}}
    found = convert_text(tmp_path, resource("AgentgatewayBackend", "pool", spec))
    assert found.settings["models"] == [{"match": "*", "use": ["pool-a/m1", "pool-b/m2", "pool-c/m3"]}]
    assert "spec.ai.groups[0]: the providers of a group are asked in their order here" in found.said
    assert "spec.ai.groups[1]: " not in found.said


KGATEWAY: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "one": (
        {
            "llm": {
                "provider": {
                    "openai": {"authToken": {"kind": "SecretRef", "secretRef": {"name": "s-key"}}, "model": "m"}
                }
            }
        },
        {"up": {"base_url": "https://api.openai.com/v1", "dialect": "openai", "api_key": "env:S_API_KEY"}},
        "up/m",
    ),
    "without provider": (
        {"llm": {"anthropic": {"authToken": {"kind": "Inline", "inline": "sk-in-the-file"}, "model": "c"}}},
        {"up": {"base_url": "https://api.anthropic.com/v1", "dialect": "anthropic", "api_key": "env:UP_API_KEY"}},
        "up/c",
    ),
    "another host": (
        {
            "llm": {
                "hostOverride": {"host": "h.test", "port": 443},
                "pathOverride": {"fullPath": "/api/v1/chat/completions"},
                "provider": {"openai": {"authToken": {"kind": "Passthrough"}}},
            }
        },
        {"up": {"base_url": "https://h.test/api/v1", "dialect": "generic"}},
        "up",
    ),
    "a pool": (
        {
            "multipool": {
                "priorities": [
                    {"pool": [{"hostOverride": {"host": "h", "port": 80}, "provider": {"openai": {"model": "m1"}}}]},
                    {"pool": [{"provider": {"gemini": {"model": "m2"}}}]},
                ]
            }
        },
        {
            "up-1": {"base_url": "http://h:80/v1", "dialect": "generic"},
            "up-2": {"base_url": GEMINI, "dialect": "gemini"},
        },
        ["up-1/m1", "up-2/m2"],
    ),
}


@pytest.mark.parametrize(("ai", "backends", "use"), KGATEWAY.values(), ids=KGATEWAY)
def test_kgateways_backend(ai: Any, backends: dict[str, Any], use: Any, tmp_path: Path) -> None:
    """The resource of kgateway 2.0, from which AgentgatewayBackend comes: gateway.kgateway.dev/v1alpha1."""
    found = convert_text(tmp_path, resource("Backend", "up", {"type": "AI", "ai": ai}))
    assert found.code == 0, found
    assert found.settings["backends"] == backends
    assert found.settings["models"] == [{"match": "*", "use": use}]
    assert "sk-in-the-file" not in found.text + found.said
    assert ("authToken: the credential Passthrough" in found.said) == ("Passthrough" in str(ai))


def test_an_address_that_is_none(tmp_path: Path) -> None:
    found = convert_text(tmp_path, backend({"openai": {}, "host": "a b", "port": 1}))
    assert (found.code, found.text) == (1, "")
    assert "0.yaml:7:5: error: spec.ai.provider: no address of a server" in found.said


def test_a_provider_that_is_not_known(tmp_path: Path) -> None:
    found = convert_text(tmp_path, backend({"cohere": {"model": "x"}}, "c"), backend())
    assert list(found.settings["backends"]) == ["openai"]
    assert "0.yaml:7:5: warning: spec.ai.provider: no provider that is known here" in found.said
