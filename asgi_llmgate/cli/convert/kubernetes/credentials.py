"""`auth`: the gateway's credential at a model server.

A Secret becomes the name of an environment variable.  Its value is never read: the command that reads it from the
cluster is for the person who converts.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

from asgi_llmgate.cli.convert.kubernetes.cluster import BACKENDS, Cluster
from asgi_llmgate.cli.convert.manifests import Entry, Manifest
from asgi_llmgate.cli.convert.names import free_name
from asgi_llmgate.cli.convert.notes import Notes

DEFAULT_KEY = "Authorization"
"""The key of a Secret that holds the credential, unless `secretRef.key` names another one."""

_ENDINGS = re.compile(r"([-_.]?(secrets?|credentials?|api-?key|key|token|auth))+$", re.IGNORECASE)
_LONGEST_NAME = 253
"""Characters of a name in Kubernetes."""

_EXCHANGE = "api_key: {token_exchange: ...} gets a token for the caller's"
_CLOUDS = {
    "aws": "an API key of Bedrock in api_key: env:NAME",
    "azure": "an API key of Azure in api_key: env:NAME, or a callable that returns a token",
    "gcp": "a callable that returns a token: api_key: {callable: package.module:name}",
    "jwtSign": "api_key: {callable: package.module:name} returns any token",
    "crossAppAccess": "api_key: {token_exchange: ...} is RFC 8693",
    "credentials": "a fixed further header is in extra_headers",
}


class Credentials:
    """Finds `api_key` for each `auth`; one Secret has one variable."""

    def __init__(self, cluster: Cluster, notes: Notes) -> None:
        self._cluster = cluster
        self._notes = notes
        self._names: dict[tuple[str, str, str], str] = {}

    def read(self, auth: Entry, owner: Manifest, backend: str) -> tuple[dict[str, Any], list[str]]:
        """The settings of the backend that `auth` of `owner` asks for (`api_key`, `key_header`), and comments."""
        settings: dict[str, Any] = {}
        said: list[str] = []
        if auth.get("secretRef"):
            settings["api_key"], words = self._secret(auth.get("secretRef"), owner.namespace)
            said += [words] if words else []
        elif key := auth.get("key"):
            settings, said = self._inline(key, owner, backend)
        elif "passthrough" in auth:
            message = "the caller's token is not sent to the model server"
            said.append(self._notes.ignore(auth.get("passthrough"), message, _EXCHANGE))
        elif auth.get("oauthTokenExchange"):
            exchange = self._exchange(auth.get("oauthTokenExchange"), owner)
            if exchange:
                settings["api_key"] = {"token_exchange": exchange}
        for kind, hint in _CLOUDS.items():
            if auth.get(kind) or kind in auth:
                said.append(self._notes.ignore(auth.get(kind), "the credential is not converted", hint))
        settings |= self._location(auth.get("location"))
        return settings, said

    def read_token(self, token: Entry, owner: Manifest, backend: str) -> tuple[dict[str, Any], list[str]]:
        """`authToken` of kgateway's Backend: the same with the kind in words."""
        kind = token.get("kind").text()
        if token.get("secretRef"):
            key, words = self._secret(token.get("secretRef"), owner.namespace)
            return {"api_key": key}, [words] if words else []
        if inline := token.get("inline"):
            return self._inline(inline, owner, backend)
        return {}, [self._notes.ignore(token, f"the credential {kind} is not converted", _EXCHANGE)]

    def _inline(self, key: Entry, owner: Manifest, backend: str) -> tuple[dict[str, Any], list[str]]:
        """A key in the manifest becomes the name of a variable."""
        key.accept()
        name = self._variable(("", owner.namespace, backend), backend)
        return {"api_key": f"env:{name}"}, [self._notes.ask_for_key(key, name)]

    def _location(self, location: Entry) -> dict[str, str]:
        """The header for the key, where it is another one than `Authorization: Bearer`."""
        header = location.get("header")
        name = header.get("name").text()
        if not name or name.lower() == "authorization":
            return {}
        if header.get("prefix").text():
            self._notes.ignore(header.get("prefix"), "the key has no prefix in this header")
        return {"key_header": name.lower()}

    def _secret(self, ref: Entry, namespace: str) -> tuple[str, str]:
        """`env:NAME` for a Secret's key, and a comment.  Notes the command that reads it."""
        ref.skip("group")
        kind, name = ref.get("kind").text("Secret"), ref.get("name").text()
        key = ref.get("key").text(DEFAULT_KEY)
        if kind != "Secret":
            words = self._notes.differ(ref, f"{kind} {name} is no Secret: set the variable to its value")
            return f"env:{self._variable((kind, namespace, name), name)}", words
        variable = self._variable((namespace, name, key), name, key)
        self._notes.variables[variable] = _command(namespace, name, key)
        self._notes.carry(ref, f"env:{variable}")
        return f"env:{variable}", self._look(ref, namespace, name, key)

    def _look(self, ref: Entry, namespace: str, name: str, key: str) -> str:
        """A note where the Secret is in the files, and has no such key."""
        secret = self._cluster.find(("Secret",), name, namespace)
        if secret is None:
            return ""
        present = {each for part in ("data", "stringData") for each, _ in secret.root.get(part).items()}
        return "" if key in present else self._notes.differ(ref, f"the Secret {name} has no key {key!r}")

    def _variable(self, identity: tuple[str, str, str], name: str, key: str = DEFAULT_KEY) -> str:
        """A new name for an environment variable, the same for the same secret."""
        if identity in self._names:
            return self._names[identity]
        stem = (
            re.sub(r"[^A-Z0-9]+", "_", (_ENDINGS.sub("", name[:_LONGEST_NAME]) or name[:_LONGEST_NAME]).upper()).strip(
                "_"
            )
            or "MODEL"
        )
        stem = stem if stem[0].isalpha() else f"KEY_{stem}"
        base = f"{stem}_API_KEY"
        if base in self._names.values() and key != DEFAULT_KEY:
            base = re.sub(r"[^A-Z0-9]+", "_", f"{stem}_{key}".upper()).strip("_")
        self._names[identity] = free_name(base, self._names.values(), "_")
        return self._names[identity]

    def _exchange(self, exchange: Entry, owner: Manifest) -> dict[str, Any] | None:
        """RFC 8693 as `token_exchange`; None where the endpoint or the client is not known."""
        grant = exchange.get("grantType").text("TokenExchange")
        client = exchange.get("clientAuth")
        url = self.endpoint(exchange, owner, exchange.get("path").text())
        if grant != "TokenExchange" or not url or not client.get("clientId"):
            message = "only TokenExchange with a known endpoint and a clientId is converted"
            self._notes.ignore(exchange, message, "api_key: {token_exchange: ...}")
            return None
        found: dict[str, Any] = {"token_url": url, "client_id": client.get("clientId").text()}
        if client.get("secretRef"):
            found["client_secret"], _ = self._secret(client.get("secretRef"), owner.namespace)
        if client.get("method").text() == "ClientSecretPost":
            found["client_auth"] = "post"
        if scopes := [scope.text() for scope in exchange.get("scopes").each()]:
            found["scope"] = " ".join(scopes)
        for plural, single in (("audiences", "audience"), ("resources", "resource")):
            for number, each in enumerate(exchange.get(plural).each()):
                if number == 0:
                    found[single] = each.text()
                else:
                    self._notes.ignore(each, f"one {single} is sent")
        self._notes.carry(exchange, "api_key.token_exchange")
        return found

    def endpoint(self, ref: Entry, owner: Manifest, path: str) -> str:
        """The URL of `url`, or of `backendRef` (a Service or a static backend) with `path`; "" if it is not known."""
        if url := ref.get("url").text():
            return url
        to = ref.get("backendRef")
        to.skip("group")
        kind, name = to.get("kind").text("Service"), to.get("name").text()
        namespace, port = to.get("namespace").text(owner.namespace), to.get("port").number(0)
        path = "/" + path.lstrip("/") if path else ""
        if kind == "Service" and name:
            scheme, at = ("https", "") if port == 443 else ("http", f":{port or 80}")
            return f"{scheme}://{name}.{namespace}.svc.cluster.local{at}{path}"
        backend = self._cluster.find(BACKENDS, name, namespace)
        static = backend.spec.get("static") if backend is not None else Entry(None, "", "")
        host, port = static.get("host").text(), static.get("port").number(port)
        if not host or backend is None:
            return ""
        tls = "tls" in backend.spec.get("policies") or port == 443
        return f"{'https' if tls else 'http'}://{host}" + (f":{port}" if port not in (0, 443) else "") + path


def _command(namespace: str, name: str, key: str) -> str:
    """A shell word for the value of a Secret, without `Bearer ` as agentgateway reads it."""
    path = "{.data." + re.sub(r"[^A-Za-z0-9_-]", lambda found: "\\" + found[0], key) + "}"
    words = ["kubectl", "-n", namespace, "get", "secret", name, "-o", f"jsonpath={path}"]
    strip = " | sed 's/^Bearer //'" if key == DEFAULT_KEY else ""
    return f'"$({shlex.join(words)} | base64 -d{strip})"'
