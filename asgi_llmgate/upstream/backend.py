"""Backend: a model server as the settings describe it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net import CredentialSource, Timeouts, header_name, header_value
from asgi_llmgate.protocol.servers.dialects import DIALECTS, Dialect
from asgi_llmgate.protocol.translation.request.chat_request import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """The settings of a model server.

    `base_url` is the part of its URLs before `/chat/completions`; it usually ends in `/v1`. `vendor` is
    `llm.provider` in rules and `gen_ai.provider.name` in records. `api_key` is asked for each request, so that it can
    rotate or depend on the caller. Raises SettingsError for a header that cannot be sent.
    """

    base_url: str = field(repr=False)
    vendor: str = "openai"
    dialect: Dialect = DIALECTS["openai"]
    api_key: CredentialSource | None = None
    extra_headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    options: Options = field(default_factory=Options)
    timeouts: Timeouts = field(default_factory=Timeouts)

    def __post_init__(self) -> None:
        _require("dialect.key_header", header_name, self.dialect.key_header)
        for name, value in self.extra_headers.items():
            _require("extra_headers", header_name, name)
            _require(f"extra_headers.{name}", header_value, value)


def _require(path: str, check: Callable[[str], bytes], text: str) -> None:
    try:
        check(text)
    except ValueError as error:
        raise SettingsError(str(error), path=path) from None
