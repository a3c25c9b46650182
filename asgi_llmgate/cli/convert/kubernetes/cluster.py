"""The resources by kind and name, and which of them a policy is attached to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from asgi_llmgate.cli.convert.manifests import Entry, Manifest
from asgi_llmgate.cli.convert.notes import Notes

BACKENDS = ("AgentgatewayBackend", "EnterpriseAgentgatewayBackend", "Backend")
POLICIES = ("AgentgatewayPolicy", "EnterpriseAgentgatewayPolicy")
CONVERTED = (*BACKENDS, *POLICIES, "Gateway", "HTTPRoute", "Secret")

OTHERS: Mapping[str, str] = MappingProxyType(
    {
        "Service": "a backend names the address of its server",
        "ReferenceGrant": "all backends are in one settings file",
        "BackendTLSPolicy": "write https:// into base_url; net.ca_file has the authorities",
        "ConfigMap": "",
        "Namespace": "",
        "GatewayClass": "",
        "ServiceAccount": "",
        "Deployment": "",
    }
)
"""Kinds that are often in the same files, and what there is in their place."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a policy is attached to: a resource, or a part of it (a listener, a rule, a provider)."""

    kind: str
    name: str
    section: str
    entry: Entry


class Cluster:
    def __init__(self, manifests: Iterable[Manifest], notes: Notes) -> None:
        self._found = list(manifests)
        self.notes = notes

    def of(self, *kinds: str) -> list[Manifest]:
        return [found for found in self._found if found.kind in kinds]

    def find(self, kinds: Iterable[str], name: str, namespace: str) -> Manifest | None:
        """The resource of this name in the namespace."""
        return next((each for each in self.of(*kinds) if (each.name, each.namespace) == (name, namespace)), None)

    def targets(self, policy: Manifest) -> list[Target]:
        """What the policy is attached to.  An attachment to what the files do not have is noted."""
        found = [_target(ref) for ref in policy.spec.get("targetRefs").each()]
        for selector in policy.spec.get("targetSelectors").each():
            found.extend(self._selected(selector, policy.namespace))
        kept = []
        for target in found:
            there = self.of(*_kinds(target.kind))
            if not there or self.find(_kinds(target.kind), target.name, policy.namespace) is not None:
                kept.append(target)  # files without any Gateway: the policy is meant for the one that is left out
            else:
                message = f"the files have no {target.kind} {target.name!r}, so {policy} is not attached to it"
                self.notes.ignore(target.entry, message)
        return kept

    def _selected(self, selector: Entry, namespace: str) -> list[Target]:
        selector.skip("group")
        kind, section = selector.get("kind").text(), selector.get("sectionName").text()
        wanted = {name: value.text() for name, value in selector.get("matchLabels").items()}
        chosen = [
            each
            for each in self.of(*_kinds(kind))
            if each.namespace == namespace and wanted.items() <= each.labels.items()
        ]
        if not chosen:
            self.notes.ignore(selector, f"the files have no {kind} with these labels")
        return [Target(kind, each.name, section, selector) for each in chosen]

    def note_others(self) -> None:
        """Note the resources that are not converted."""
        for found in self._found:
            if found.kind and found.kind not in CONVERTED:
                self.notes.ignore(found.root, f"{found} is not converted", OTHERS.get(found.kind, ""))

    def note_unread(self) -> None:
        """Note each field that nothing has read."""
        for found in self._found:
            for entry in found.root.unread():
                self.notes.ignore(entry, hint=_HINTS.get(entry.path.rpartition(".")[2], ""))


def _target(ref: Entry) -> Target:
    ref.skip("group")
    return Target(ref.get("kind").text(), ref.get("name").text(), ref.get("sectionName").text(), ref)


def _kinds(kind: str) -> tuple[str, ...]:
    return BACKENDS if kind in BACKENDS else (kind,)


_HINTS: Mapping[str, str] = MappingProxyType(
    {
        "cors": "the app that mounts the gateway answers browsers, with its own CORS middleware",
        "csrf": "the gateway accepts no cookie of another site",
        "transformation": "extra_headers and extra_body of a backend add fixed values",
        "transformations": "extra_body of a backend sets fixed values",
        "finalTransformations": "extra_body of a backend sets fixed values",
        "defaults": "extra_body of a backend sets a field of each request",
        "prompt": "say it in Claude Code's own CLAUDE.md or settings",
        "promptEnrichment": "say it in Claude Code's own CLAUDE.md or settings",
        "promptGuard": "the gateway does not look into prompts; keep the model server's own filter",
        "promptCaching": "cache points that the client sets go to servers that know them",
        "health": "a failing target is tried again at the next call; list others after it in models[].use",
        "retry": "a target is tried again by itself; list others after it in models[].use",
        "tls": "the server that runs your app does TLS: docs/how-to/deploy.md",
        "tunnel": "net.proxy is the proxy for all model servers",
        "global": "limits count in each worker process",
        "conditional": "limits[].when is a condition",
        "extAuth": "policy.rules decide; identity comes from tokens",
        "extProc": "a layer of your own app can see each request",
        "tracing": "usage.otel: true sends spans with the OpenTelemetry SDK of your app",
        "metrics": "usage.prometheus or usage.otel",
        "mcp": "the gateway serves models, no MCP servers",
        "guardrail": "the guardrail's own headers can be set in extra_headers",
        "hostRewrite": "base_url of the backend is the host",
        "headerModifiers": "extra_headers of a backend adds headers",
        "phase": "rules run after the caller is known and before the model is asked",
        "strategy": "there is one set of rules",
        "static": "your own app can serve what is no model",
        "dynamicForwardProxy": "your own app can serve what is no model",
        "filters": "routes: has whole paths, extra_headers of a backend adds headers",
        "cacheDuration": "key sets are fetched again when a token has an unknown key",
    }
)
"""Last part of a field's path -> what to do about it here."""
