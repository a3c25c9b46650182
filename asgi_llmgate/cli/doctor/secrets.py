"""All secrets that settings name, so that none of them is printed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from asgi_llmgate.config.schema import Settings
from asgi_llmgate.config.sections.credentials import make_secret
from asgi_llmgate.errors import SettingsError

_NAMES = frozenset({"api_key", "client_secret", "secret"})
"""Keys whose values name secrets."""

_FILES = frozenset({"token_file"})


def secrets_of(settings: Settings, folder: Path) -> Iterator[str]:
    """The values of keys and passwords, of headers, and what URLs have beside their address; also of proxies."""
    yield from _in_value("", msgspec.to_builtins(settings), folder)
    for name, value in os.environ.items():
        if name.lower().endswith("_proxy"):
            yield from _in_url(value)


def _in_value(name: str, value: Any, folder: Path) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            if name == "extra_headers":
                yield str(each).rpartition(" ")[2]
            else:
                yield from _in_value(str(key), each, folder)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _in_value(name, each, folder)
    elif isinstance(value, str):
        yield from _in_text(name, value, folder)


def _in_text(name: str, value: str, folder: Path) -> Iterator[str]:
    if name in _NAMES or name in _FILES:
        try:
            yield make_secret(f"file:{value}" if name in _FILES else value, folder).secret.reveal()
        except SettingsError:
            return  # it cannot be read here, so it is not sent either
    elif "//" in value:
        yield from _in_url(value)


def _in_url(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    if parts.password:
        yield parts.password
        yield unquote(parts.password)
    yield from (value for _, value in parse_qsl(parts.query))
