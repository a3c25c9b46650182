"""Backend: a model server as the settings describe it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.net import CredentialSource, Timeouts, header_name, header_value
from asgi_llmgate.net.base_url import parse_base_url
from asgi_llmgate.protocol.servers.dialects import DIALECTS, Dialect
from asgi_llmgate.protocol.translation.request.chat_request import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """The settings of a model server.

    `base_url` is the part of its URLs before `/chat/completions`; it usually ends in `/v1` (net/base_url.py says what
    may be written there). `vendor` is `llm.provider` in rules and `gen_ai.provider.name` in records. `api_key` is asked
    for each request, so that it can rotate or depend on the caller. Raises SettingsError for a URL that cannot be used,
    and for a header that cannot be sent.
    """

    base_url: str = field(repr=False)
    vendor: str = "openai"
    dialect: Dialect = DIALECTS["openai"]
    api_key: CredentialSource | None = None
    extra_headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    options: Options = field(default_factory=Options)
    timeouts: Timeouts = field(default_factory=Timeouts)

    def __post_init__(self) -> None:
        mistakes = Mistakes()
        with mistakes.under("dialect.key_header"):
            _require(header_name, self.dialect.key_header)
        for name, value in self.extra_headers.items():
            with mistakes.under(f"extra_headers.{name}"):
                _require(header_name, name)
                _require(header_value, value)
        with mistakes.under("base_url"):
            base = parse_base_url(self.base_url, self.dialect.path)
            if base.authorization is not None and "authorization" in self._credential_headers():
                hint = "leave out one of them"
                message = (
                    "a user and password in the URL, and api_key or extra_headers: both are the authorization header"
                )
                raise SettingsError(message, hint=hint)
        mistakes.raise_if_any()

    def _credential_headers(self) -> set[str]:
        """The lower-case names of the headers that hold a credential, or may."""
        names = {name.lower() for name in self.extra_headers}
        if self.api_key is not None:
            names.add((self.api_key.key_header or self.dialect.key_header).lower())
        return names


def _require(check: Callable[[str], bytes], text: str) -> None:
    try:
        check(text)
    except ValueError as error:
        raise SettingsError(str(error)) from None
