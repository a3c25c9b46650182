"""A provider with its parameters -> a backend of the settings, one for all models that share them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from asgi_llmgate.cli.convert.manifests import Entry
from asgi_llmgate.cli.convert.names import free_name
from asgi_llmgate.cli.convert.notes import Notes
from asgi_llmgate.cli.convert.writer import noted
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net.base_url import parse_base_url

PROVIDERS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "openai": ("https://api.openai.com/v1", "openai", "OPENAI_API_KEY"),
        "anthropic": ("https://api.anthropic.com/v1", "anthropic", "ANTHROPIC_API_KEY"),
        "gemini": ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini", "GEMINI_API_KEY"),
        "ollama": ("http://127.0.0.1:11434/v1", "ollama", ""),
        "deepseek": ("https://api.deepseek.com/v1", "deepseek", "DEEPSEEK_API_KEY"),
        "groq": ("https://api.groq.com/openai/v1", "groq", "GROQ_API_KEY"),
        "mistral": ("https://api.mistral.ai/v1", "mistral", "MISTRAL_API_KEY"),
        "openrouter": ("https://openrouter.ai/api/v1", "openrouter", "OPENROUTER_API_KEY"),
        "xai": ("https://api.x.ai/v1", "xai", "XAI_API_KEY"),
    }
)
"""Provider -> its address, its dialect, and the variable that agentgateway reads its key from."""

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class Servers:
    """The backends that the models of a file ask for."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self.settings: dict[str, Any] = {}
        self._names: dict[tuple[str, ...], str] = {}
        self._variables: dict[str, str] = {}

    def backend(self, kind: Entry, params: list[Entry]) -> str:
        """The name of the backend for a provider, "" if there is none; of `params` the first with a value counts."""
        provider = kind.text().lower()

        def param(name: str) -> Entry:
            given = [each.get(name) for each in params]
            return next(filter(None, given), given[0])

        address = self._address(kind, provider, param)
        if address is None:
            return ""
        base_url, dialect, variable = address
        key, said = self.key(param("apiKey"), provider, variable)
        return self.add(kind, provider, {"base_url": base_url, "dialect": dialect}, key, said)

    def add(self, entry: Entry, wanted: str, settings: dict[str, Any], key: str, said: list[str]) -> str:
        """The name of the backend with these settings and key; the one that there is, if it is the same."""
        identity = (wanted, repr(settings), key)
        if identity not in self._names:
            name = re.sub(r"[^a-z0-9.-]+", "-", wanted).strip("-") or "backend"
            name = self._names[identity] = free_name(name, self.settings)
            self.settings[name] = noted(settings | ({"api_key": key} if key else {}), f"from {entry.place}", *said)
            self._notes.carry(entry, f"backends.{name}")
        return self._names[identity]

    def _address(self, kind: Entry, provider: str, param: Callable[[str], Entry]) -> tuple[str, str, str] | None:
        base = param("baseUrl").text().rstrip("/")
        host = param("hostOverride").text()
        if provider == "bedrock":
            region = param("awsRegion").text("us-east-1")
            known = f"https://bedrock-runtime.{region}.amazonaws.com/openai/v1", "bedrock", "AWS_BEARER_TOKEN_BEDROCK"
            self._notes.differ(
                kind, "Bedrock is asked through its OpenAI-compatible endpoint, with an API key of Bedrock"
            )
        elif provider == "azure":
            name = param("azureResourceName").text()
            known = f"https://{name}.openai.azure.com/openai/v1", "azure", "AZURE_OPENAI_API_KEY"
        elif provider in PROVIDERS:
            known = PROVIDERS[provider]
        elif base:
            known = base, "generic", ""
        else:
            self._notes.ignore(kind, f"the provider {kind.text()!r} is not known here", "a backend with its base_url")
            return None
        if base or host:
            prefix = param("pathPrefix").text().rstrip("/") or "/v1"
            at = base or f"http{'s' if host.endswith(':443') else ''}://{host.removesuffix(':443')}{prefix}"
            known = (at, known[1], known[2])
        try:
            parse_base_url(known[0])
        except SettingsError as error:
            raise kind.error(f"no address of a server: {error.message}") from None
        return known

    def key(self, entry: Entry, provider: str, default: str) -> tuple[str, list[str]]:
        """`api_key` and comments: a variable stays one, a file stays one, and a key itself becomes a variable."""
        if not entry:
            return (f"env:{default}", [f"without an apiKey agentgateway reads {default}"]) if default else ("", [])
        if not entry.is_text:
            return f"file:{entry.get('file').text()}", []
        if found := _VARIABLE.fullmatch(entry.raw()):
            return f"env:{found[1] or found[2]}", []
        name = self._variable(entry.raw(), default or f"{re.sub(r'[^A-Z0-9]+', '_', provider.upper())}_API_KEY")
        return f"env:{name}", [self._notes.ask_for_key(entry, name)]

    def _variable(self, key: str, wanted: str) -> str:
        """A variable for a key that is written in the file: the same one for the same key."""
        if key not in self._variables:
            self._variables[key] = free_name(wanted, self._variables.values(), "_")
        return self._variables[key]
