"""HTTPRoute -> rows of the model table and routes.

agentgateway chooses a backend by path, header and host; here the rows of `models:` do, with conditions where there is
more than one way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from asgi_llmgate.cli.convert.kubernetes.backends import Backends, Converted, Layer, Provider
from asgi_llmgate.cli.convert.kubernetes.cluster import BACKENDS, Cluster, Target
from asgi_llmgate.cli.convert.kubernetes.matches import Match, any_of, any_request, host_condition, read_matches
from asgi_llmgate.cli.convert.kubernetes.providers import upper_first
from asgi_llmgate.cli.convert.manifests import Entry, Manifest
from asgi_llmgate.cli.convert.names import by_length
from asgi_llmgate.cli.convert.rows import by_weight, model_row
from asgi_llmgate.cli.convert.writer import noted
from asgi_llmgate.routing.routes import ROUTES

_SPECIFIC = ("Gateway", "ListenerSet", "HTTPRoute", "rule", "backend", "provider")
"""The places that a policy is attached to; a later one takes precedence."""


@dataclass(slots=True)
class Rule:
    """A rule of an HTTPRoute, or the way to a backend that no route of the files leads to."""

    route: Manifest | None
    name: str
    matches: list[Match]
    backends: list[Converted]

    @property
    def condition(self) -> str:
        return any_of(*(match.whole for match in self.matches))

    @property
    def providers(self) -> list[Provider]:
        return [provider for backend in self.backends for provider in backend.providers]


class Routes:
    """All rules of the cluster.  `backend_policies` are the `backend` sections of policies, with their targets."""

    def __init__(self, cluster: Cluster, backends: Backends) -> None:
        self._cluster = cluster
        self._notes = cluster.notes
        self._backends = backends
        self._policies: list[tuple[Target, Layer]] = []
        self.rules: list[Rule] = []

    def attach(self, target: Target, layer: Layer) -> None:
        """A policy about backends; called before `read`."""
        self._policies.append((target, layer))

    def read(self) -> None:
        routes = self._cluster.of("HTTPRoute")
        for route in routes:
            spec = route.spec
            spec.skip("parentRefs")
            hosts = host_condition(spec.get("hostnames").each())
            if hosts and len(routes) == 1:
                self._notes.differ(spec.get("hostnames"), "the gateway responds under every name of its host")
            for entry in spec.get("rules").each():
                self._read_rule(route, entry, hosts if len(routes) > 1 else "")
        if not routes:
            for backend in self._cluster.of(*BACKENDS):
                converted = self._backends.convert(backend, self._layers(None, "", backend))
                if converted is not None:
                    self.rules.append(Rule(None, "", [any_request()], [converted]))

    def _read_rule(self, route: Manifest, entry: Entry, hosts: str) -> None:
        name = entry.get("name").text()
        found: list[tuple[int, Converted]] = []
        refs = entry.get("backendRefs").each()
        for ref in refs:
            backend = self._backend(ref, route)
            weight = ref.get("weight").number(1)
            if backend is None:
                continue
            converted = self._backends.convert(backend, self._layers(route, name, backend))
            if converted is None:
                self._notes.ignore(ref, f"{backend} has no models", "your own app can serve other paths")
            elif weight == 0:
                self._notes.ignore(ref, "weight 0: it gets no calls")
            else:
                found.append((weight, converted))
        backends = by_weight(found, "backend", entry.get("backendRefs"), self._notes)
        if not backends:
            return
        if timeout := entry.get("timeouts", "request"):
            self._backends.limit_time(timeout, backends)
        self._notes.carry(entry, "models")
        matches = read_matches(entry, hosts, self._notes)
        self.rules.append(Rule(route, name, matches, backends))

    def _backend(self, ref: Entry, route: Manifest) -> Manifest | None:
        """The backend that a rule leads to; None, with a note, where the files do not have it."""
        ref.skip("group")
        kind, name = ref.get("kind").text("Service"), ref.get("name").text()
        ref.skip("port")
        if kind not in BACKENDS:
            self._notes.ignore(ref, f"{kind} {name} is no backend with models", "your own app can serve other paths")
            return None
        found = self._cluster.find(BACKENDS, name, ref.get("namespace").text(route.namespace))
        if found is None:
            self._notes.ignore(ref, f"the files have no {kind} {name!r}", "name the file that it is in, too")
        return found

    def _layers(self, route: Manifest | None, rule: str, backend: Manifest) -> list[Layer]:
        """The policies about this backend, the more specific ones later."""
        found: list[tuple[int, Layer]] = []
        for target, layer in self._policies:
            identity = target.name, layer.owner.namespace
            if target.kind in BACKENDS:
                if identity == (backend.name, backend.namespace):
                    found.append((_SPECIFIC.index("provider" if target.section else "backend"), layer))
            elif target.kind == "HTTPRoute":
                attached = route is not None and identity == (route.name, route.namespace)
                if attached and target.section in ("", rule):
                    found.append((_SPECIFIC.index("rule" if target.section else target.kind), layer))
            elif target.kind in _SPECIFIC:
                found.append((_SPECIFIC.index(target.kind), layer))
        return [layer for _, layer in sorted(found, key=lambda pair: pair[0])]

    def scope(self, target: Target, namespace: str) -> str | None:
        """The condition that a request is one of those that a policy is about; "" for all, None for none.

        A policy is in the namespace of what it is attached to.

        With one rule alone it is about all that the gateway serves.
        """
        if target.kind != "HTTPRoute" or not self._cluster.of("HTTPRoute"):
            return ""
        covered = [
            rule
            for rule in self.rules
            if rule.route is not None
            and (rule.route.name, rule.route.namespace) == (target.name, namespace)
            and target.section in ("", rule.name)
        ]
        if len(covered) == len(self.rules):
            return ""
        return any_of(*(rule.condition for rule in covered)) if covered else None

    def behind(self, scope: str) -> list[Converted]:
        """The backends of the requests in a scope."""
        chosen = [rule for rule in self.rules if not scope or rule.condition in scope]
        return [backend for rule in chosen for backend in rule.backends]

    def rows(self) -> list[Any]:
        """The rows of `models:`, the most exact match first."""
        ranked = sorted(
            ((match, rule) for rule in self.rules for match in rule.matches),
            key=lambda pair: pair[0].rank,
            reverse=True,
        )
        rows: list[Any] = []
        for conditions, rule in _grouped(ranked):
            alone = len(self.rules) == 1
            when = any_of(*(match.condition if alone else match.whole for match in conditions))
            rows.extend(self._rows_of(rule, when))
        return rows

    def _rows_of(self, rule: Rule, when: str) -> Iterator[Any]:
        aliases: dict[str, None] = {}
        for provider in rule.providers:
            aliases |= dict.fromkeys(by_length(provider.aliases))
        for alias in aliases:
            use = [provider.target(provider.aliases.get(alias, "")) for provider in rule.providers]
            yield model_row(alias, use, when)
        row = model_row("*", [provider.target() for provider in rule.providers], when)
        yield noted(row, "max_output_tokens and context_window: state the model's, so that calls fit at once")

    def paths(self) -> dict[str, Any]:
        """`routes:`, as far as they are not the default ones."""
        found: dict[str, Any] = {}
        for rule in self.rules:
            formats = {name: entry for backend in rule.backends for name, entry in backend.formats.items()}
            for match in rule.matches:
                if match.kind == "RegularExpression":
                    continue
                found |= self._paths_of(match, rule, formats)
        return {path: kind for path, kind in found.items() if path not in ROUTES}

    def _paths_of(self, match: Match, rule: Rule, formats: Mapping[str, Entry]) -> Iterator[tuple[str, Any]]:
        given = {name: upper_first(entry.text()) for name, entry in formats.items()} or {_COMPLETIONS: "Completions"}
        for suffix, kind in given.items():
            entry = formats.get(suffix)
            path = joined(match, suffix)
            route = _route(kind, path, rule)
            if suffix == "*" or route is None:
                if entry is not None:
                    hint = "routes: has whole paths, such as /v1/embeddings: {passthrough: BACKEND}"
                    self._notes.ignore(entry, f"{kind} for {suffix}", hint)
            elif path:
                yield path, route
                if kind == "Messages":
                    yield f"{path}/count_tokens", "count_tokens"
                    yield f"{path.removesuffix('/messages')}/models", "models"


_COMPLETIONS = "/v1/chat/completions"
_ENDPOINTS = (_COMPLETIONS, "/v1/messages", "/v1/models", "/v1/embeddings", "/v1/responses", "/v1/completions")
_KINDS: Mapping[str, str] = MappingProxyType(
    {"Messages": "messages", "Completions": "completions", "AnthropicTokenCount": "count_tokens"}
)
_FORWARDED = frozenset({"Passthrough", "Detect", "Responses", "Embeddings", "Rerank"})


def _route(kind: str, path: str, rule: Rule) -> Any:
    """The route of an API format; None if there is none."""
    if kind == "Models":
        return "models" if path in ROUTES else "openai_models"
    if kind in _FORWARDED:
        return {"passthrough": rule.providers[0].name}
    return _KINDS.get(kind)


def joined(match: Match, suffix: str) -> str:
    """The path that a match and a suffix of `ai.routes` are both for; "" if there is none."""
    path, suffix = match.path.rstrip("/"), "/" + suffix.strip("/")
    if path.endswith(suffix):
        return path
    if match.kind == "Exact" or path.endswith(_ENDPOINTS):
        return ""
    parts = path.split("/")
    for start in range(1, len(parts)):  # /v1 and /v1/messages
        common = "/" + "/".join(parts[start:])
        if suffix.startswith(f"{common}/"):
            return path + suffix.removeprefix(common)
    return path + suffix


def _grouped(ranked: list[tuple[Match, Rule]]) -> Iterator[tuple[list[Match], Rule]]:
    """The matches in their order; those of one rule that follow each other together."""
    group: list[Match] = []
    for index, (match, rule) in enumerate(ranked):
        group.append(match)
        if index + 1 == len(ranked) or ranked[index + 1][1] is not rule:
            yield group, rule
            group = []
