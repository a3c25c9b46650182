"""What to do about an error of the gateway, by its class: which setting it is about, and what helps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

_ADVICE: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "ConnectionRefused": ("base_url", "is the server running, and is this its address?"),
        "Unreachable": ("base_url", "is this its address, and can this machine reach it?"),
        "MaybeSent": ("base_url", "does this port speak https? Then the URL begins with https://"),
        "TimedOut": ("base_url", "is the model still being loaded, or the server stuck? --timeout waits longer"),
        "Blocked": ("base_url", "this address is not the model server's API, or something stands in front of it"),
        "Broken": ("base_url", "is this the address of an API that is compatible with OpenAI's?"),
        "ResponseTooLarge": ("base_url", "is this the address of an API that is compatible with OpenAI's?"),
        "CredentialRefused": ("api_key", "is it the key of this server, is it still valid, and may it use this model?"),
        "CredentialUnavailable": ("api_key", "the token endpoint must work before the model server can be asked"),
        "AuthenticationFailed": ("api_key", "this credential is made from a caller's token: give one, with --token -"),
        "NotAuthorized": ("api_key", "the token endpoint gives none in exchange for this caller's token"),
        "QuotaExhausted": ("api_key", "the account has no credit left: add some, or raise its limit"),
        "Throttled": ("api_key", "the account's limit is reached: try again later, or raise it"),
        "Overloaded": ("base_url", "it is busy, or still loading the model: try again"),
        "Failed": ("base_url", "the server's own log says why"),
        "PromptTooLong": ("", "the context window of this model is too small for any work"),
    }
)
"""Class of the error -> the setting of the backend, and what to do. Without a setting it is about the model."""

EVERY_MODEL = frozenset(
    {
        *("ConnectionRefused", "Unreachable", "MaybeSent", "TimedOut", "Blocked", "Broken", "CredentialRefused"),
        *("CredentialUnavailable", "AuthenticationFailed", "QuotaExhausted"),
    }
)
"""Errors that each model of the server would give."""

_TOOLS: tuple[tuple[str, str], ...] = (
    (
        r"enable-auto-tool-choice|tool-call-parser",
        "start vLLM with --enable-auto-tool-choice --tool-call-parser PARSER, where PARSER is the one of the model",
    ),
    (r"--jinja|unsupported param: tools", "start llama-server with --jinja"),
    (r"does not support tools", "use a model with the tag `tools` in Ollama's library"),
    (r"no endpoints found that support tool", "use a model that supports tools at OpenRouter"),
)
"""What servers say that have been started without tools, and what to do."""

NO_TOOLS: Mapping[str, str] = MappingProxyType(
    {
        "vllm": "start vLLM with a --chat-template that has tools, or use a model that has one",
        "llamacpp": "start llama-server with --jinja, and --chat-template-file with a template that has tools",
        "ollama": "use a model with the tag `tools` in Ollama's library, or a TEMPLATE with .Tools in the Modelfile",
        "sglang": "start SGLang with --tool-call-parser, and a --chat-template that has tools",
        "lmstudio": "use a model with the mark `tool use` in LM Studio",
    }
)
"""Dialect -> what to do where the chat template leaves tools out."""


_PROXY = re.compile(r"the proxy (?:refused|cannot)|wants a credential")


def advice_on(error_type: str, words: str = "") -> tuple[str, str]:
    """The setting ("" where it is about the model), and what to do. `words` are those of the error."""
    if _PROXY.search(words):
        return "net.proxy", "should this host be asked without the proxy (NO_PROXY, or net.proxy: none)?"
    for pattern, hint in _TOOLS:
        if re.search(pattern, words, re.IGNORECASE):
            return "", hint
    return _ADVICE.get(error_type, ("", ""))


def path_of(backend: str, setting: str) -> str:
    """The path of a setting of `advice_on`; "" for none."""
    if not setting or setting.startswith("net."):
        return setting
    return f"backends.{backend}.{setting}"
