"""Small manifests for the tests of this folder, as functions of what they differ in."""

from __future__ import annotations

from typing import Any

import yaml


def resource(kind: str, name: str, spec: Any, **metadata: Any) -> str:
    group = {"HTTPRoute": "gateway.networking.k8s.io/v1", "Gateway": "gateway.networking.k8s.io/v1"}
    document = {
        "apiVersion": group.get(kind, "agentgateway.dev/v1alpha1"),
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }
    return yaml.safe_dump(document, sort_keys=False)


def backend(provider: Any = None, name: str = "openai", **policies: Any) -> str:
    spec = {"ai": {"provider": provider or {"openai": {"model": "gpt-4o-mini"}}}}
    return resource("AgentgatewayBackend", name, spec | ({"policies": policies} if policies else {}))


def route(name: str, *rules: Any, **spec: Any) -> str:
    return resource("HTTPRoute", name, {"parentRefs": [{"name": "gw"}], "rules": list(rules), **spec})


def to(*backends: str, path: str = "", **rule: Any) -> dict[str, Any]:
    """A rule that leads to the backends, from a path."""
    refs = [{"group": "agentgateway.dev", "kind": "AgentgatewayBackend", "name": name} for name in backends]
    matches = {"matches": [{"path": {"type": "PathPrefix", "value": path}}]} if path else {}
    return matches | rule | {"backendRefs": refs}


def policy(name: str = "rules", target: tuple[str, str] = ("Gateway", "gw"), section: str = "", **spec: Any) -> str:
    kind, named = target
    ref = {"group": "x", "kind": kind, "name": named} | ({"sectionName": section} if section else {})
    return resource("AgentgatewayPolicy", name, {"targetRefs": [ref], **spec})


def authorization(*expressions: str, action: str = "Allow") -> dict[str, Any]:
    return {"authorization": {"action": action, "policy": {"matchExpressions": list(expressions)}}}
