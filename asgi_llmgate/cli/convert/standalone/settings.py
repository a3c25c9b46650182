"""agentgateway's configuration file -> the settings of one gateway."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from asgi_llmgate.cli.convert.assembly import assemble
from asgi_llmgate.cli.convert.kubernetes.authentication import Authentication
from asgi_llmgate.cli.convert.kubernetes.authorization import Authorization
from asgi_llmgate.cli.convert.kubernetes.cluster import Cluster
from asgi_llmgate.cli.convert.kubernetes.credentials import Credentials
from asgi_llmgate.cli.convert.kubernetes.limits import read_bucket
from asgi_llmgate.cli.convert.manifests import Entry, Manifest
from asgi_llmgate.cli.convert.notes import Notes
from asgi_llmgate.cli.convert.standalone.models import Models
from asgi_llmgate.cli.convert.standalone.routes import RouteFile
from asgi_llmgate.cli.convert.standalone.servers import Servers

_OTHER_AUTHENTICATION = ("apiKey", "basicAuth", "oidc", "extAuthz")


def convert_file(manifest: Manifest, notes: Notes) -> dict[str, Any]:
    """The settings, with comments.  Raises SettingsError with file and line."""
    root = manifest.root
    cluster = Cluster([manifest], notes)
    servers, authorization = Servers(notes), Authorization(notes)
    callers = _Callers(Authentication(Credentials(cluster, notes), notes), authorization, manifest)
    rows: list[Any] = []
    paths: dict[str, Any] = {}
    if llm := root.get("llm"):
        llm.skip("port", "gateways")
        rows += Models(servers, authorization, notes).read(llm)
        paths["/v1/chat/completions"] = "completions"
        callers.read(llm.get("policies"), "")
    if "binds" in root or "routes" in root:
        file = RouteFile(cluster, servers, notes)
        for scoped in file.read(root):
            callers.read(scoped.policies, scoped.scope)
        rows += file.rows()
        paths |= file.paths()
    if not rows:
        hint = "it has them in llm.models, or in routes with an ai backend"
        raise root.error("no model with a provider that is known here", hint)
    found = assemble(
        callers.authentication,
        authorization,
        backends=dict(servers.settings),
        models=rows,
        routes=paths,
        limits=callers.limits,
        fields={},
        server=_server(root),
    )
    cluster.note_unread()
    return found


@dataclass(slots=True)
class _Callers:
    """What policies say about callers."""

    authentication: Authentication
    authorization: Authorization
    manifest: Manifest
    limits: list[Any] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)

    def read(self, policies: Entry, scope: str) -> None:
        notes = self.authorization.notes
        if jwt := policies.get("jwtAuth"):
            self.authentication.read(jwt, self.manifest, scope, default="Optional")
        if rules := policies.get("authorization", "rules"):
            self.authorization.read_rules(rules, "gateway", scope)
        self.limits += read_bucket(policies.get("localRateLimit"), "gateway", scope, self._names, notes)
        self.authentication.read_others(policies, _OTHER_AUTHENTICATION)


def _server(root: Entry) -> dict[str, Any]:
    size = root.get("frontendPolicies", "http", "maxBufferSize")
    if not size:
        return {}
    if not size.number(0):
        raise size.error("must be a number of bytes")
    return {"body_limit": f"{size.number(0)}B"}
