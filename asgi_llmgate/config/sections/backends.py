"""`backends`, `net` and `translation`: the model servers, outgoing connections, and the translation of requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asgi_llmgate.config.section import Section
from asgi_llmgate.config.sections.credentials import ApiKeySettings, make_credential
from asgi_llmgate.endpoints.calls import PING_INTERVAL
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes, error_path
from asgi_llmgate.net import HTTPClient, Timeouts
from asgi_llmgate.net.client import DEFAULT_TRANSPORT, OwnTransport
from asgi_llmgate.protocol.servers.dialects import Dialect, derive
from asgi_llmgate.protocol.translation.request.target_format import Options, TranslationOptions
from asgi_llmgate.running_state import RunningState
from asgi_llmgate.upstream import Backend

_ANY_DIALECT = Dialect(name="", path="")
"""In the place of a dialect that is wrong, while the other settings of a backend are checked."""


class NetSettings(Section, frozen=True):
    """How model servers and identity providers are reached.  `proxy`: `env`, `none` or a URL; `transport`: what sends
    requests, the gateway's own (`native`) or `aiohttp`."""

    transport: OwnTransport = DEFAULT_TRANSPORT
    proxy: str = "env"
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None


class BackendSettings(Section, frozen=True):
    """A model server.  `provider` is its name in records and rules; `api_key` names a secret, or is a mapping."""

    base_url: str
    dialect: str | dict[str, Any] = "openai"
    provider: str | None = None
    api_key: str | ApiKeySettings | None = None
    extra_body: dict[str, Any] = {}
    extra_headers: dict[str, str] = {}
    timeouts: Timeouts = Timeouts()


class TranslationSettings(TranslationOptions, frozen=True, forbid_unknown_fields=True):
    """How requests are translated.  `ping_interval`: seconds of silence in a stream after which a `ping` is sent."""

    ping_interval: float = PING_INTERVAL


def make_client(net: NetSettings, folder: Path) -> HTTPClient:
    """The HTTP client that the settings describe.  Raises SettingsError."""

    ca_file, client_cert, client_key = tls_files(net, folder)
    with error_path("net"):
        return HTTPClient(
            transport=net.transport, proxy=net.proxy, ca_file=ca_file, client_cert=client_cert, client_key=client_key
        )


def tls_files(net: NetSettings, folder: Path) -> tuple[str | None, str | None, str | None]:
    """`ca_file`, `client_cert` and `client_key`, as `tls_context` takes them."""

    def resolve(name: str | None) -> str | None:
        return None if name is None else str(folder / name)

    return resolve(net.ca_file), resolve(net.client_cert), resolve(net.client_key)


def make_backend(
    name: str,
    backend: BackendSettings,
    translation: TranslationSettings,
    client: HTTPClient,
    folder: Path,
    state: RunningState,
) -> Backend:
    """One model server; its credential is kept in `state`.  Raises SettingsError."""
    mistakes = Mistakes()
    dialect, api_key = _ANY_DIALECT, None
    with mistakes.under():
        dialect = make_dialect(name, backend)
    with mistakes.under("api_key"):
        api_key = state.keep(
            "credential",
            name,
            (backend.api_key, folder, client),
            lambda: make_credential(backend.api_key, client, folder),
        )
    options = {name: getattr(translation, name) for name in TranslationOptions.__struct_fields__}
    with mistakes.under():
        made = Backend(
            base_url=backend.base_url,
            vendor=backend.provider or dialect.name,
            dialect=dialect,
            api_key=api_key,
            extra_headers=backend.extra_headers,
            options=Options(**options, extra_body=backend.extra_body),
            timeouts=backend.timeouts,
        )
    with error_path(f"backends.{name}"):
        mistakes.raise_if_any()
    return made


def make_dialect(name: str, backend: BackendSettings) -> Dialect:
    """The dialect of a model server.  Raises SettingsError."""
    with error_path(f"backends.{name}.dialect"):
        if isinstance(backend.dialect, str):
            try:
                return derive(backend.dialect, {})
            except SettingsError as error:
                raise SettingsError(error.message, hint=error.hint) from None  # there is no key `base` in the file
        overrides = dict(backend.dialect)
        return derive(overrides.pop("base", "openai"), overrides)


def require_tokens(name: str, backend: Backend) -> None:
    """Raises SettingsError for a credential that needs the caller's token.  Called where callers have none."""
    if backend.api_key is not None and backend.api_key.needs_token:
        path = f"backends.{name}.api_key.token_exchange"
        message = "auth.mode is off, so callers have no token to exchange"
        raise SettingsError(message, path=path, rests_on=("$.auth.mode",))
