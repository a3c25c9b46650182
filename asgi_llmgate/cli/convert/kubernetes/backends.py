"""AgentgatewayBackend -> a backend of the settings for each of its providers, and what each model name becomes there.

What policies say about a backend is merged field by field: policies < the backend's own < the provider's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from asgi_llmgate.cli.convert.kubernetes.cluster import Cluster
from asgi_llmgate.cli.convert.kubernetes.credentials import Credentials
from asgi_llmgate.cli.convert.kubernetes.providers import Server, read_provider
from asgi_llmgate.cli.convert.manifests import Entry, Manifest
from asgi_llmgate.cli.convert.names import free_name, replaced
from asgi_llmgate.cli.convert.writer import noted
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net.base_url import parse_base_url

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(slots=True)
class Layer:
    """Policies about a backend, and the resource that they are written in; `provider`: about this one only."""

    policies: Entry
    owner: Manifest
    provider: str = ""


@dataclass(slots=True)
class Provider:
    """One model server of a backend: its name and settings, the model that is fixed, and aliases of models."""

    name: str
    settings: dict[str, Any]
    model: str
    aliases: dict[str, str] = field(default_factory=dict)

    def target(self, model: str = "") -> str:
        """The target as `models[].use` has it; without a model the requested name is kept."""
        chosen = model or self.model
        return f"{self.name}/{chosen}" if chosen else self.name


@dataclass(slots=True)
class Converted:
    """A backend: its providers, best first, and the API formats of its paths (`spec.policies.ai.routes`)."""

    providers: list[Provider]
    formats: dict[str, Entry]


class Backends:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._notes = cluster.notes
        self.credentials = Credentials(cluster, cluster.notes)
        self.settings: dict[str, Any] = {}
        self._known: dict[tuple[str, str], Converted | None] = {}

    def convert(self, backend: Manifest, outer: Sequence[Layer]) -> Converted | None:
        """The backend, with the policies that are attached to it in `outer`; None if it has no models."""
        identity = backend.namespace, backend.name
        if identity not in self._known:
            self._known[identity] = self._convert(backend, outer)
        return self._known[identity]

    def _convert(self, backend: Manifest, outer: Sequence[Layer]) -> Converted | None:
        backend.spec.skip("type")
        ai = backend.spec.get("ai")
        if not ai:
            return None
        layers = [*outer, Layer(backend.spec.get("policies"), backend)]
        described = _providers(ai)
        converted = Converted([], {})
        for one in described:
            server = read_provider(one.kind, backend.namespace, self._notes, one.place)
            if server is None:
                self._notes.ignore(one.kind, "no provider that is known here")
                continue
            own = [*(layer for layer in layers if layer.provider in ("", one.name)), Layer(one.policies, backend)]
            converted.providers.append(self._provider(self._unique(backend, one.name), one.kind, server, own))
            for layer in own:
                converted.formats |= dict(layer.policies.get("ai", "routes").items())
        if len(described) > 1:
            self._note_groups(ai)
        return converted if converted.providers else None

    def limit_time(self, timeout: Entry, backends: Iterable[Converted]) -> None:
        """A route's timeout of whole calls, for the backends that it leads to and that have none of their own."""
        total = seconds(timeout)
        for provider in [each for backend in backends for each in backend.providers]:
            timeouts = provider.settings.setdefault("timeouts", {})
            if total and timeouts.setdefault("total", total) == total:
                self._notes.carry(timeout, f"backends.{provider.name}.timeouts.total")
            if not timeouts:
                del provider.settings["timeouts"]

    def _note_groups(self, ai: Entry) -> None:
        for group in ai.first("groups", "priorityGroups").each():
            if len(group.get("providers").each()) > 1:
                message = "the providers of a group are asked in their order here, not in turn"
                self._notes.differ(group, message)

    def _unique(self, backend: Manifest, provider: str) -> str:
        """The key in `backends`."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{backend.name}-{provider}" if provider else backend.name).strip("-")
        name = name or "backend"
        if name in self.settings:
            name = f"{name}-{backend.namespace}"
        return free_name(name, self.settings)

    def _provider(self, name: str, entry: Entry, server: Server, layers: Sequence[Layer]) -> Provider:
        try:
            parse_base_url(server.base_url)
        except SettingsError as error:
            raise entry.error(f"no address of a server: {error.message}") from None
        settings: dict[str, Any] = {"base_url": server.base_url, "dialect": server.dialect}
        said = [f"from {entry.place}", *server.notes]
        columns: dict[str, Any] = {"path": server.path} if server.path else {}
        self._notes.carry(entry, f"backends.{name}")
        auth = _last(layers, "auth")
        if auth is not None or server.token:
            if auth is not None:
                found, words = self.credentials.read(auth.policies.get("auth"), auth.owner, name)
            else:
                assert server.token is not None
                found, words = self.credentials.read_token(server.token, layers[-1].owner, name)
            columns |= {key: value for key, value in found.items() if key == "key_header"}
            settings |= {key: value for key, value in found.items() if key != "key_header"}
            said += words
        if columns:
            settings["dialect"] = {"base": server.dialect, **columns}
        self._tls(settings, server, layers)
        self._timeouts(settings, layers)
        model, aliases = self._models(settings, server.model, layers)
        self.settings[name] = noted(settings, *said)
        return Provider(name, settings, model, aliases)

    def _tls(self, settings: dict[str, Any], server: Server, layers: Sequence[Layer]) -> None:
        layer = _last(layers, "tls")
        if layer is None:
            return
        tls = layer.policies.get("tls")
        if server.scheme_open:
            settings["base_url"] = "https" + str(settings["base_url"]).removeprefix("http")
        if skip := tls.get("insecureSkipVerify"):
            self._notes.ignore(skip, "the server's certificate is always verified", "net.ca_file has its authority")
        for ref in tls.get("caCertificateRefs").each():
            self._notes.ignore(
                ref, "the authority is in the cluster", "write it to a file and name that in net.ca_file"
            )
        for ref in tls.get("mtlsCertificateRef").each():
            self._notes.ignore(
                ref, "the certificate is in the cluster", "net.client_cert and net.client_key name files"
            )
        if (sni := tls.get("sni")).text() in str(settings["base_url"]):
            sni.accept()
        elif sni:
            self._notes.ignore(sni, "the host of base_url is the name that is asked for")

    def _timeouts(self, settings: dict[str, Any], layers: Sequence[Layer]) -> None:
        timeouts = {}
        for key, names in (("total", ("http", "requestTimeout")), ("connect", ("tcp", "connectTimeout"))):
            layer = _last(layers, *names)
            if layer is not None:
                entry = layer.policies.get(*names)
                timeouts[key] = seconds(entry)
                self._notes.carry(entry, f"timeouts.{key}")
        if timeouts:
            settings["timeouts"] = timeouts

    def _models(self, settings: dict[str, Any], model: str, layers: Iterable[Layer]) -> tuple[str, dict[str, str]]:
        """The model that is always asked for, and aliases: an override comes before an alias of its name."""
        aliases: dict[str, str] = {}
        body: dict[str, Any] = {}
        for layer in layers:
            ai = layer.policies.get("ai")
            aliases |= {alias: target.text() for alias, target in ai.get("modelAliases").items() if target.text()}
            for override in ai.get("overrides").each():
                name, value = override.get("field").text(), override.get("value").value()
                if name == "model" and isinstance(value, str):
                    model = value
                elif "." in name:
                    self._notes.ignore(override, "only whole fields can be replaced", "extra_body of the backend")
                else:
                    body[name] = value
                    self._notes.carry(override, f"extra_body.{name}")
        if body:
            settings["extra_body"] = body
        if not model:
            return "", aliases
        return replaced(model, aliases), {}


@dataclass(frozen=True, slots=True)
class _Described:
    """A provider as it is written: its name, the entry with its kind, the entry with its host, its own policies."""

    name: str
    kind: Entry
    place: Entry
    policies: Entry


def _providers(ai: Entry) -> list[_Described]:
    """The providers in the order of their priority.

    In kgateway's Backend one is `llm` and several are a `multipool`, with the kind under `provider`.
    """
    nothing = Entry(None, "", ai.file)
    if "provider" in ai:
        return [_Described("", ai.get("provider"), ai.get("provider"), nothing)]
    if "llm" in ai:
        return [_described("", ai.get("llm"), nothing)]
    found = []
    for group in ai.first("groups", "priorityGroups").each():
        for provider in group.get("providers").each():
            found.append(_described(provider.get("name").text(), provider, provider.get("policies")))
    for priority in ai.get("multipool", "priorities").each():
        for provider in priority.get("pool").each():
            found.append(_described(str(len(found) + 1), provider, nothing))
    return found


def _described(name: str, entry: Entry, policies: Entry) -> _Described:
    return _Described(name, entry.get("provider") if "provider" in entry else entry, entry, policies)


def _last(layers: Sequence[Layer], *names: str) -> Layer | None:
    """The layer that has the last word about a field: the innermost one that has it."""
    found = None
    for layer in layers:
        entry = layer.policies
        for name in names:
            if name not in entry:
                break
            entry = entry.get(name)
        else:
            found = layer
    return found


def seconds(entry: Entry) -> float:
    """A duration such as `1m30s`, in seconds."""
    text = entry.text()
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise entry.error("must be a duration such as 30s or 5m")
    total = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return int(total) if total == int(total) else total
