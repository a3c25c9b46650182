"""The settings mapping: one shape for a YAML file, Django's LLMGATE and Quart's config.

msgspec converts and names the place of a mistake; what is added here is how a person is told about it: the path as it
is written in the file (`auth.providers[0].audiences`), the name that was probably meant, and, for what this version
does not build yet, that it knows the name and that it is not there.  Reading settings opens nothing: secrets, keys and
rules are looked at where the objects are built (gateway.py), which adds its own paths.
"""

from __future__ import annotations

import difflib
import os
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net.urls import redact_url
from asgi_llmgate.protocol.rawjson.structure import STRUCTURE


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping in the settings; every key is known.  Its repr shows no user, password or query of an address, no
    value of a header, and no secret that was written where its name should stand."""

    def __repr__(self) -> str:
        members = (f"{name}={_told(name, getattr(self, name))}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({', '.join(members)})"


def _told(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        hidden = name == "extra_headers"
        return "{" + ", ".join(f"{key!r}: {'...' if hidden else _told('', item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_told(name, item) for item in value) + "]"
    if isinstance(value, str):
        named = name not in ("api_key", "client_secret") or value.startswith(("env:", "file:"))
        return repr(redact_url(value) if "//" in value else value) if named else "'...'"
    return repr(value)


class Jwks(_Section, frozen=True):
    """Where a provider's public keys come from: one of inline, file, url, discovery; the files go with `url`."""

    inline: dict[str, Any] | None = None
    file: str | None = None
    url: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    discovery: bool = False


class Introspection(_Section, frozen=True):
    """RFC 7662: where the provider is asked about tokens that only it can read; secrets as in `api_key`."""

    url: str
    client_id: str
    client_secret: str | None = None
    client_auth: Literal["basic", "post", "assertion", "private_key_jwt"] = "basic"
    tokens: Literal["opaque", "all"] = "opaque"


class Provider(_Section, frozen=True):
    """One identity provider.  `issuer: X` is short for `issuers: [X]`; times are seconds."""

    name: str | None = None
    preset: str | None = None
    issuer: str | None = None
    issuers: tuple[str, ...] = ()
    audiences: tuple[str, ...] | Literal["none"] | None = None
    jwks: Jwks | None = None
    discovery_url: str | None = None
    algorithms: tuple[str, ...] | None = None
    leeway: float | None = None
    client_ids: tuple[str, ...] = ()
    token_types: tuple[str, ...] | None = None
    tokens_without_kid: bool | None = None
    require_access_token: bool | None = None
    required_claims: tuple[str, ...] | None = None
    required_values: dict[str, tuple[str, ...]] = {}
    required_scopes: tuple[str, ...] = ()
    profile: Literal["", "rfc9068"] = ""
    claim_map: dict[str, str] | None = None
    max_lifetime: float | None = None
    cooldown: float | None = None
    introspection: Introspection | None = None


class ProtectedResource(_Section, frozen=True):
    """RFC 9728: the URL of the gateway as its callers write it, and a name for people."""

    url: str
    name: str = ""


class Auth(_Section, frozen=True):
    """Who may come in.  `cache_ttl`: seconds that a good token is remembered at most; `max_token_size`: characters."""

    mode: Literal["strict", "optional", "permissive", "off"] = "strict"
    providers: tuple[Provider, ...] = ()
    token_sources: tuple[str, ...] = ("authorization",)
    cache_ttl: float = 300.0
    max_token_size: int = 16384
    protected_resource: ProtectedResource | None = None


class DenySubjects(_Section, frozen=True):
    file: str


class Policy(_Section, frozen=True):
    """What they may do.  A rule is a CEL text (an allow rule) or a mapping with name, action, when, reason, mode.

    `authorization` are further rules in agentgateway's form.
    """

    default: Literal["deny", "allow"] = "deny"
    rules: tuple[str | dict[str, Any], ...] = ()
    authorization: dict[str, Any] | None = None
    deny_subjects: DenySubjects | None = None
    engine: Literal["strict", "celpy"] = "strict"
    denied_model_status: Literal[403, 400] = 403
    list_claims: tuple[str, ...] = ("groups", "roles")


class TimeoutSettings(_Section, frozen=True):
    """Seconds: to connect, to wait for a free connection, until the first byte, between two bytes, for all of it."""

    connect: float = 10.0
    pool: float = 10.0
    first_byte: float = 600.0
    idle: float = 300.0
    total: float | None = None


class ClientCredentials(_Section, frozen=True):
    """The gateway's own token, from an identity provider (RFC 6749 section 4.4); `client_secret` as in `api_key`."""

    token_url: str
    client_id: str
    client_secret: str | None = None
    client_auth: Literal["basic", "post", "assertion", "private_key_jwt"] = "basic"
    scope: str | None = None
    audience: str | None = None
    resource: str | None = None
    parameters: dict[str, str] = {}


class TokenExchange(ClientCredentials, frozen=True):
    """A token in exchange for the caller's: RFC 8693, or Entra's on-behalf-of."""

    style: Literal["rfc8693", "on_behalf_of"] = "rfc8693"


class ApiKey(_Section, frozen=True):
    """A credential that is more than a text: one of these.  `callable` is `package.module:function`."""

    callable: str | None = None
    client_credentials: ClientCredentials | None = None
    token_exchange: TokenExchange | None = None


class Backend(_Section, frozen=True):
    """A model server.  `provider` is what records and rules call it; `api_key` names a secret, or is an ApiKey."""

    base_url: str
    dialect: str | dict[str, Any] = "openai"
    provider: str | None = None
    api_key: str | ApiKey | None = None
    extra_body: dict[str, Any] = {}
    extra_headers: dict[str, str] = {}
    timeouts: TimeoutSettings = TimeoutSettings()


class Prices(_Section, frozen=True):
    """US dollars: per million tokens, or per hour of a call."""

    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_creation: float | None = None
    gpu_hour: float | None = None


class Model(_Section, frozen=True):
    """A row of the model table.  `use` is one target or a list in order; the first slash splits backend and model."""

    match: str
    use: str | tuple[str, ...]
    when: str | None = None
    listed: tuple[str, ...] = msgspec.field(name="list", default=())
    display_name: str = ""
    max_output_tokens: int | None = None
    context_window: int | None = None
    prices: Prices | tuple[Prices, ...] = ()


class Passthrough(_Section, frozen=True):
    """A route that is handed on to one backend."""

    passthrough: str


class Translation(_Section, frozen=True):
    """How requests are carried over; what each does is in docs/reference/settings.md."""

    unsupported_tools: Literal["answer", "drop", "reject"] = "answer"
    repair_tool_pairs: bool = False
    tool_references: Literal["names", "schemas"] = "names"
    response_model: Literal["upstream", "requested"] = "upstream"
    ping_interval: float = 12.0
    strict: bool = False
    user_id: Literal["hashed", "off"] = "hashed"


class Limit(_Section, frozen=True):
    """A rate (`requests: "60/minute"`) or a number of calls at once, per value of the CEL text `key`.

    LimitMiddleware refuses `tokens` and `cost_usd` by their place and says what they lack.
    """

    name: str
    key: str
    requests: str | None = None
    concurrency: int | None = None
    when: str | None = None
    tokens: str | None = None
    cost_usd: str | None = None


class AccessLogSettings(_Section, frozen=True):
    """The access log.  `stdout`: lines for which logging has no handler go to standard output."""

    format: Literal["json", "logfmt"] = "json"
    file: str | None = None
    stdout: bool = True


class SinkSettings(_Section, frozen=True):
    """A sink of the host's own.  `callable`, as `package.module:name`, makes it; it gets no arguments."""

    callable: str


class Otel(_Section, frozen=True):
    """OpenTelemetry.  `labels` are names of `usage.fields` that the metrics get as labels."""

    semconv: Literal["1.41", "latest", "both"] = "1.41"
    server_span: bool = True
    traceparent: bool = True
    labels: tuple[str, ...] = ()


class PrometheusSettings(_Section, frozen=True):
    labels: tuple[str, ...] = ()


class LedgerSettings(_Section, frozen=True):
    """Where records are kept.  `url`: sqlite:///FILE or postgresql://...; `keep` like `400d`, null for ever."""

    url: str = "sqlite:///llmgate.db"
    journal: str = "llmgate-journal"
    keep: str | None = "400d"


class Usage(_Section, frozen=True):
    """What is written down.  `fields`: name in the record -> CEL text over jwt, request and llm."""

    access_log: AccessLogSettings = AccessLogSettings()
    fields: dict[str, str] = {}
    otel: bool | Otel = False
    prometheus: bool | PrometheusSettings = False
    ledger: LedgerSettings | None = None
    sinks: tuple[SinkSettings, ...] = ()
    prices: Literal["genai-prices"] | None = None


class Net(_Section, frozen=True):
    """The way out, for model servers and identity providers alike.  `proxy`: `env`, `none` or a URL."""

    proxy: str = "env"
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None


class Drain(_Section, frozen=True):
    """When the server is told to stop.  `after`: seconds that open calls still have; `signal`: hear SIGTERM."""

    signal: bool = False
    after: Annotated[float, msgspec.Meta(ge=0)] = 20.0


Most = Annotated[int, msgspec.Meta(ge=1)]


class StructureSettings(_Section, frozen=True):
    """What a request body may hold: `protocol.structure.Structure`."""

    depth: Most = STRUCTURE.depth
    values: Most = STRUCTURE.values
    names: Most = STRUCTURE.names
    messages: Most = STRUCTURE.messages
    blocks: Most = STRUCTURE.blocks
    tools: Most = STRUCTURE.tools
    model: Most = STRUCTURE.model


class Server(_Section, frozen=True):
    """Sizes like `32MiB`, `body_min_rate` per second; `body_timeout`, `client_stall`: seconds that a client may leave
    us waiting for its body, and to send; `answer_limit`: of what is kept of one answer; `streams`: how many a worker is
    expected to have open at once."""

    body_limit: str | int = "32MiB"
    body_timeout: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    body_min_rate: str | int = "16KiB"
    body_memory: str | int = "512MiB"
    answer_limit: str | int = "32MiB"
    structure: StructureSettings = StructureSettings()
    client_stall: float = 60.0
    streams: Annotated[int, msgspec.Meta(ge=1)] = 250
    drain: Drain = Drain()
    debug: bool = False


class Settings(_Section, frozen=True):
    """All of it."""

    backends: dict[str, Backend]
    models: tuple[Model, ...]
    auth: Auth = Auth()
    policy: Policy = Policy()
    routes: dict[str, str | Passthrough] = {}
    translation: Translation = Translation()
    limits: tuple[Limit, ...] = ()
    usage: Usage = Usage()
    net: Net = Net()
    server: Server = Server()


PLANNED = frozenset(
    {
        "backends[].concurrency",
        "limits[].store",
        "limits[].on_store_error",
    }
)
"""Keys of the design that no version builds yet: refused like any unknown key, but with the truth about them."""


def read_settings(mapping: Mapping[str, Any]) -> Settings:
    """The settings, checked.  Raises SettingsError with the path of the first mistake."""
    try:
        return msgspec.convert(mapping, Settings)
    except msgspec.ValidationError as error:
        mistake = str(error)
    for name, value in mapping.get("backends", {}).items() if "$.backends[...]" in mistake else ():
        try:  # msgspec does not say under which of a mapping's free keys the mistake is
            msgspec.convert(value, Backend)
        except msgspec.ValidationError:
            raise _explained(mistake.replace("backends[...]", f"backends.{name}")) from None
    raise _explained(mistake)


def read_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A YAML file as a mapping, `${NAME}` and `${NAME:-default}` in its texts replaced from the environment.

    Raises SettingsError: unreadable, not YAML or a key twice (with line and column), not a mapping, a variable that is
    not set.
    """
    from asgi_llmgate.config.yaml_text import LARGEST, read_yaml  # a host that has a mapping does without PyYAML

    try:
        with Path(path).open("rb") as file:
            content = read_yaml(file.read(LARGEST + 1), os.fspath(path))
    except OSError as error:
        raise SettingsError(f"cannot read {os.fspath(path)}: {error.strerror}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{os.fspath(path)} holds no mapping at its top level")
    return {str(key): _expanded(value, str(key)) for key, value in content.items()}


_SIZE = re.compile(r"(\d+)\s*(|B|kB|KiB|MB|MiB|GB|GiB)", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kb": 10**3, "kib": 2**10, "mb": 10**6, "mib": 2**20, "gb": 10**9, "gib": 2**30}


def parse_size(value: str | int, path: str) -> int:
    """Bytes of `32MiB`, `500kB` or a plain number."""
    if isinstance(value, int):
        return value
    found = _SIZE.fullmatch(value.strip())
    if found is None:
        raise SettingsError(f"not a size: {value!r}", path=path, hint="a number of bytes, or such as 32MiB")
    return int(found[1]) * _UNITS[found[2].lower()]


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_duration(text: str, path: str) -> float:
    """Seconds of `90s`, `15m`, `12h`, `7d`, `4w`."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise SettingsError(f"not a duration: {text!r}", path=path, hint="such as 12h or 30d; s, m, h, d, w")
    return float(found[1]) * _SECONDS[found[2]]


_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")


def _explained(text: str) -> SettingsError:
    found = _AT.search(text)
    path = found["path"] if found else ""
    message = _AT.sub("", text)
    kind = _type_at(path)
    if unknown := _UNKNOWN.match(message):
        return _unknown_key(unknown["name"], path, kind)
    enumerated = message.startswith("Invalid enum value") or typing.get_origin(kind) is Literal
    choices = _literals(kind) if enumerated else ()
    hint = "one of " + ", ".join(map(str, choices)) if choices else ""
    if hint and message.startswith("Expected `str`"):
        hint += "; in quotes, where YAML would read " + ("true or false" if "`bool`" in message else "a number")
    return SettingsError(message[:1].lower() + message[1:], path=path, hint=hint)


def _unknown_key(name: str, path: str, kind: Any) -> SettingsError:
    full = f"{path}.{name}" if path else name
    if re.sub(r"\[\d+\]|(?<=^backends)\.[^.]+", "[]", full) in PLANNED:
        return SettingsError("known, but not there yet in this version", path=full)
    section = _section(kind)
    keys = [field.encode_name for field in msgspec.structs.fields(section)] if section else []
    near = difflib.get_close_matches(name, keys, n=1)
    return SettingsError("unknown key", path=full, hint=f"did you mean {near[0]}?" if near else "")


def _type_at(path: str) -> Any:
    """The type that the settings have at a place, found by walking the annotations along its path."""
    kind: Any = Settings
    for step in re.findall(r"[^.\[\]]+|\[\d+\]", path):
        section = _section(kind)
        known = typing.get_type_hints(section) if section and not step.startswith("[") else {}
        kind = known.get(step, kind)  # an index or a free key stays within the type already reached
    return kind


def _section(kind: Any) -> type[_Section] | None:
    """The section that an annotation leads to, through lists, mappings and unions."""
    if isinstance(kind, type) and issubclass(kind, _Section):
        return kind
    return next((found for part in typing.get_args(kind) if (found := _section(part))), None)


def _literals(kind: Any) -> tuple[Any, ...]:
    if typing.get_origin(kind) is Literal:
        return typing.get_args(kind)
    return next((found for part in typing.get_args(kind) if (found := _literals(part))), ())


_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


def _expanded(value: Any, path: str) -> Any:
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _variable(found, path), value)
    if isinstance(value, list):
        return [_expanded(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: _expanded(item, f"{path}.{key}") for key, item in value.items()}
    return value


def _variable(found: re.Match[str], path: str) -> str:
    value = os.environ.get(found["name"]) or found["default"]
    if value is None:
        raise SettingsError(f"the environment variable {found['name']} is not set", path=path)
    return value
