"""`routes` with `ai` backends, alone or in `binds[].listeners[]` -> rows, routes, and policies with their scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asgi_llmgate.cli.convert.kubernetes.backends import Backends, Converted, Provider
from asgi_llmgate.cli.convert.kubernetes.cluster import Cluster
from asgi_llmgate.cli.convert.kubernetes.matches import (
    Match,
    any_request,
    header_condition,
    host_condition,
    make_match,
    query_condition,
)
from asgi_llmgate.cli.convert.kubernetes.providers import Server, read_provider
from asgi_llmgate.cli.convert.kubernetes.routes import Routes, Rule
from asgi_llmgate.cli.convert.manifests import Entry
from asgi_llmgate.cli.convert.names import replaced
from asgi_llmgate.cli.convert.notes import Notes
from asgi_llmgate.cli.convert.rows import by_weight
from asgi_llmgate.cli.convert.standalone.servers import Servers

_PATHS = {"exact": "Exact", "pathPrefix": "PathPrefix", "regex": "RegularExpression"}
_VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


@dataclass(slots=True)
class Scoped:
    """Policies about callers, and the condition that a request is one of those that they are about."""

    policies: Entry
    scope: str


class RouteFile:
    """The routes of a file.  `rows` and `paths` are those of `models:` and `routes:`."""

    def __init__(self, cluster: Cluster, servers: Servers, notes: Notes) -> None:
        self._servers = servers
        self._notes = notes
        self._routes = Routes(cluster, Backends(cluster))

    def read(self, root: Entry) -> list[Scoped]:
        """Reads all routes; what their policies say about callers, those of listeners first."""
        listeners: list[Scoped] = []
        routes = list(root.get("routes").each())
        for bind in root.get("binds").each():
            bind.skip("port")
            for listener in bind.get("listeners").each():
                listener.skip("name", "protocol", "hostname")
                routes += listener.get("routes").each()
                if policies := listener.get("policies"):
                    listeners.append(Scoped(policies, ""))
        found = [(route, rule) for route in routes if (rule := self._rule(route, alone=len(routes) == 1))]
        several = len(found) > 1
        own = [Scoped(route.get("policies"), rule.condition if several else "") for route, rule in found]
        return [*listeners, *own]

    def rows(self) -> list[Any]:
        return self._routes.rows()

    def paths(self) -> dict[str, Any]:
        return self._routes.paths()

    def _rule(self, route: Entry, *, alone: bool) -> Rule | None:
        route.skip("name", "namespace", "ruleName", "gateways")
        hosts = route.get("hostnames").each()
        if hosts and alone:
            self._notes.differ(route.get("hostnames"), "the gateway responds under every name of its host")
        condition = "" if alone else host_condition(hosts)
        matches = [self._match(each, condition) for each in route.get("matches").each()]
        found: list[tuple[int, Converted]] = []
        for backend in route.get("backends").each():
            if ai := backend.get("ai"):
                found.append((backend.get("weight").number(1), self._converted(ai, backend, route)))
            else:
                self._notes.ignore(backend, "no backend with models", "your own app can serve other paths")
        found = [(weight, each) for weight, each in found if weight and each.providers]
        if not found:
            return None
        chosen = by_weight(found, "backend", route.get("backends"), self._notes)
        self._notes.carry(route, "models")
        rule = Rule(None, "", matches or [any_request(condition)], chosen)
        self._routes.rules.append(rule)
        return rule

    def _match(self, entry: Entry, hosts: str) -> Match:
        path = entry.get("path")
        kind = next((each for each in _PATHS if each in path), "") if path else "pathPrefix"
        if not kind:
            raise path.error("must be one of " + ", ".join(_PATHS))
        headers, queries = [], []
        for each in entry.get("headers").each():
            exact = "exact" in each.get("value")
            value = each.get("value", "exact" if exact else "regex").text()
            headers.append(header_condition(each, value, self._notes, exact=exact))
        for each in entry.get("query").each():
            exact = "exact" in each.get("value")
            queries.append(query_condition(each, each.get("value", "exact" if exact else "regex").text(), exact=exact))
        method = entry.get("method").text()
        return make_match(_PATHS[kind], path.get(kind).text("/") if path else "/", method, headers, queries, hosts)

    def _converted(self, ai: Entry, backend: Entry, route: Entry) -> Converted:
        """An `ai` backend; what is said nearer to the provider counts."""
        described = [each for group in ai.get("groups").each() for each in group.get("providers").each()] or [ai]
        converted = Converted([], {})
        for entry in described:
            around = [entry.get("policies"), backend.get("policies"), route.get("policies")]
            server = read_provider(entry.get("provider"), "default", self._notes, entry)
            if server is None:
                self._notes.ignore(entry.get("provider"), "no provider that is known here")
                continue
            converted.providers.append(self._provider(entry, server, around))
            for policies in reversed(around):
                converted.formats |= dict(policies.get("ai", "routes").items())
        return converted

    def _provider(self, entry: Entry, server: Server, around: list[Entry]) -> Provider:
        if server.scheme_open and any("backendTLS" in policies for policies in around):
            server.base_url = "https" + server.base_url.removeprefix("http")
        for policies in around:
            policies.get("backendTLS")
        dialect: Any = {"base": server.dialect, "path": server.path} if server.path else server.dialect
        given = [auth for policies in around if (auth := policies.get("backendAuth"))]
        key, said = self._key(given[0], server.dialect) if given else ("", [])
        aliases: dict[str, str] = {}
        for policies in reversed(around):
            aliases |= {name: to.text() for name, to in policies.get("ai", "modelAliases").items()}
        model = server.model
        if model:
            model, aliases = replaced(model, aliases), {}
        settings = {"base_url": server.base_url, "dialect": dialect}
        name = self._servers.add(entry, entry.get("name").text("model"), settings, key, [*server.notes, *said])
        return Provider(name, self._servers.settings[name], model, aliases)

    def _key(self, auth: Entry, dialect: str) -> tuple[str, list[str]]:
        if "key" not in auth:
            for _, entry in auth.items():
                self._notes.ignore(entry, "the credential is not converted", "api_key: env:NAME, or a callable")
            return "", []
        key = auth.get("key")
        return self._servers.key(key if key.is_text else key.get("value"), dialect, _VARIABLES.get(dialect, ""))
