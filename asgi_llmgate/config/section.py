"""The base of each section of the settings, which shows no secret in its repr."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from asgi_llmgate.net.urls import redact_url

_SECRETS = ("api_key", "client_secret")
"""Settings that name a secret, as `env:NAME` or `file:PATH`."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping in the settings; an unknown key is an error.

    Its repr leaves out the user, password and query of URLs, the values of headers, and text in the place of a secret's
    name.
    """

    def __repr__(self) -> str:
        members = (f"{name}={_format_value(name, getattr(self, name))}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({', '.join(members)})"


def _format_value(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        items = (f"{key!r}: {'...' if name == 'extra_headers' else _format_value('', v)}" for key, v in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_format_value(name, item) for item in value) + "]"
    if isinstance(value, str):
        if name in _SECRETS and not value.startswith(("env:", "file:")):
            return "'...'"  # probably the secret itself
        return repr(redact_url(value) if "//" in value else value)
    return repr(value)
