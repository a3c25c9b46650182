"""agentgateway's configuration file -> the settings of one gateway."""

from __future__ import annotations

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
from asgi_llmgate.cli.convert.standalone.servers import Servers

_OTHER_AUTHENTICATION = ("apiKey", "basicAuth", "oidc", "extAuthz")


def convert_file(manifest: Manifest, notes: Notes) -> dict[str, Any]:
    """The settings, with comments.  Raises SettingsError with file and line."""
    root = manifest.root
    llm = root.get("llm")
    if not llm:
        raise root.error("no models", "llm: is converted; so are agentgateway's resources of Kubernetes")
    cluster = Cluster([manifest], notes)
    authentication = Authentication(Credentials(cluster, notes), notes)
    authorization = Authorization(notes)
    servers = Servers(notes)
    rows = Models(servers, authorization, notes).read(llm)
    llm.skip("port", "gateways")
    if not rows:
        raise llm.error("no model with a provider that is known here")
    replaced, limits = _policies(llm.get("policies"), manifest, authentication, authorization)
    found = assemble(
        authentication,
        authorization,
        replaced=replaced,
        backends=dict(servers.settings),
        models=rows,
        routes={"/v1/chat/completions": "completions"},
        limits=limits,
        fields={},
        server=_server(root),
    )
    cluster.note_unread()
    return found


def _policies(
    policies: Entry, manifest: Manifest, authentication: Authentication, authorization: Authorization
) -> tuple[list[str], list[Any]]:
    """Reads what is about callers; the ways to know them that are not there, and the limits."""
    notes = authorization.notes
    if jwt := policies.get("jwtAuth"):
        authentication.read(jwt, manifest, "", default="Optional")
    if rules := policies.get("authorization", "rules"):
        authorization.read_rules(rules, "gateway", "")
    limits = read_bucket(policies.get("localRateLimit"), "gateway", "", set(), notes)
    replaced = [name for name in _OTHER_AUTHENTICATION if name in policies]
    for name in replaced:
        message = "callers are known by tokens of an identity provider here"
        notes.ignore(policies.get(name), message, "auth.providers")
    return replaced, limits


def _server(root: Entry) -> dict[str, Any]:
    size = root.get("frontendPolicies", "http", "maxBufferSize")
    if not size:
        return {}
    if not size.number(0):
        raise size.error("must be a number of bytes")
    return {"body_limit": f"{size.number(0)}B"}
