"""All resources -> the settings of one gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asgi_llmgate.cli.convert.assembly import assemble
from asgi_llmgate.cli.convert.kubernetes.authentication import Authentication
from asgi_llmgate.cli.convert.kubernetes.authorization import Authorization
from asgi_llmgate.cli.convert.kubernetes.backends import Backends, Layer
from asgi_llmgate.cli.convert.kubernetes.cluster import BACKENDS, POLICIES, Cluster, Target
from asgi_llmgate.cli.convert.kubernetes.limits import read_body_limit, read_fields, read_limits
from asgi_llmgate.cli.convert.kubernetes.routes import Routes
from asgi_llmgate.cli.convert.manifests import Manifest
from asgi_llmgate.cli.convert.notes import Notes
from asgi_llmgate.errors import SettingsError

_ENTRANCES = ("Gateway", "ListenerSet")

_OTHER_AUTHENTICATION = ("basicAuthentication", "apiKeyAuthentication", "extAuth", "entExtAuth", "oidc")
"""Ways to know a caller that this gateway does not have.  Where there is one, nobody gets in without it."""


def convert_cluster(manifests: Sequence[Manifest], notes: Notes) -> dict[str, Any]:
    """The settings, with comments.  Raises SettingsError with file and line."""
    return _Conversion(Cluster(manifests, notes), notes).settings()


class _Conversion:
    def __init__(self, cluster: Cluster, notes: Notes) -> None:
        self._cluster = cluster
        self._notes = notes
        self._backends = Backends(cluster)
        self._routes = Routes(cluster, self._backends)
        self._authentication = Authentication(self._backends.credentials, notes)
        self._authorization = Authorization(notes)
        self._limits: list[Any] = []
        self._limit_names: set[str] = set()
        self._fields: dict[str, Any] = {}
        self._server: dict[str, Any] = {}

    def settings(self) -> dict[str, Any]:
        policies = [(policy, self._cluster.targets(policy)) for policy in self._cluster.of(*POLICIES)]
        self._refuse_two_entrances(policies)
        for policy, targets in policies:
            for target in targets:
                layer = Layer(policy.spec.get("backend"), policy, target.section if target.kind in BACKENDS else "")
                self._routes.attach(target, layer)
        self._routes.read()
        for policy, targets in policies:
            scopes = self._scopes(policy, targets)
            for scope in scopes:
                self._read_traffic(policy, scope)
            if (traffic := policy.spec.get("traffic")) and not scopes:
                message = f"{policy} is attached to nothing that is converted"
                self._notes.ignore(traffic, message, "name the files of what it is attached to")
            self._read_frontend(policy)
        for secret in self._cluster.of("Secret"):
            secret.root.accept()
        self._read_gateways()
        found = self._assembled()
        self._cluster.note_others()
        self._cluster.note_unread()
        return found

    def _refuse_two_entrances(self, policies: Sequence[tuple[Manifest, Sequence[Target]]]) -> None:
        """What one gateway or listener allows would be allowed at another one, too."""
        seen: dict[tuple[str, str, str], Target] = {}
        for policy, targets in policies:
            traffic = policy.spec.get("traffic")
            if "authorization" in traffic or "jwtAuthentication" in traffic:
                for target in targets:
                    if target.kind in _ENTRANCES:
                        seen.setdefault((policy.namespace, target.name, target.section), target)
        if len(seen) > 1:
            first, second = [" ".join(filter(None, (each.name, each.section))) for each in list(seen.values())[:2]]
            message = f"rules for two entrances, {first} and {second}"
            raise list(seen.values())[1].entry.error(message, "convert the files of one gateway or listener at a time")

    def _scopes(self, policy: Manifest, targets: Sequence[Target]) -> list[str]:
        """The conditions under which a policy applies, each once; "" for all requests."""
        found: list[str] = []
        for target in targets:
            if target.kind == "Gateway" and target.section:
                self._notes.differ(target.entry, "it is for all requests, not for one listener")
            if target.kind in BACKENDS:
                continue
            scope = self._routes.scope(target, policy.namespace)
            if scope is None:
                message = f"no model is behind {target.kind} {target.name}, so {policy} has nothing to decide on"
                self._notes.ignore(target.entry, message)
            elif scope not in found:
                found.append(scope)
        return [""] if "" in found else found

    def _read_traffic(self, policy: Manifest, scope: str) -> None:
        traffic = policy.spec.get("traffic")
        if jwt := traffic.get("jwtAuthentication"):
            self._authentication.read(jwt, policy, scope)
        if authorization := traffic.get("authorization"):
            self._authorization.read(authorization, policy, scope)
        if timeout := traffic.get("timeouts", "request"):
            self._backends.limit_time(timeout, self._routes.behind(scope))
        if local := traffic.get("rateLimit", "local"):
            self._limits += read_limits(local, policy, scope, self._limit_names, self._notes)
        self._authentication.read_others(traffic, _OTHER_AUTHENTICATION)

    def _read_frontend(self, policy: Manifest) -> None:
        frontend = policy.spec.get("frontend")
        self._fields |= read_fields(frontend.get("accessLog", "attributes"), self._notes)
        if size := frontend.get("http", "maxBufferSize"):
            self._server["body_limit"] = read_body_limit(size, self._notes)

    def _read_gateways(self) -> None:
        for gateway in self._cluster.of("Gateway"):
            gateway.spec.skip("gatewayClassName", "addresses", "infrastructure")
            for listener in gateway.spec.get("listeners").each():
                listener.skip("name", "allowedRoutes", "protocol")
                port = listener.get("port")
                message = "your app, or llmgate serve --port, has the address that clients call"
                self._notes.differ(port or listener, message)
                listener.skip("hostname")

    def _assembled(self) -> dict[str, Any]:
        rows = self._routes.rows()
        if not rows:
            raise SettingsError(
                "the files have no AgentgatewayBackend with models (spec.ai)", hint="name all files of the gateway"
            )
        return assemble(
            self._authentication,
            self._authorization,
            backends=dict(self._backends.settings),
            models=rows,
            routes=self._routes.paths(),
            limits=self._limits,
            fields=self._fields,
            server=self._server,
        )
