"""Capabilities that a model turns out not to have: images, documents, a system message in the middle, JSON schemas.

A dialect describes a kind of server; the models behind it differ.  For a model without a capability the request is
written as for a dialect without it.  Which errors say so is in `corrections.capabilities`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import msgspec

from asgi_llmgate.protocol.servers.columns import Dialect
from asgi_llmgate.protocol.servers.wordings.capabilities import Capability

_WITHOUT: Mapping[Capability, Mapping[str, Any]] = MappingProxyType(
    {
        "images": {"images": "none"},
        "documents": {"pdf": "none"},
        "mid_system": {"mid_system": "user"},
        "same_role_twice": {"alternate_roles": True},
        "json_schema": {"response_format": "none"},
    }
)
"""The columns of a dialect for a model without a capability."""


def without_capabilities(dialect: Dialect, missing: frozenset[Capability]) -> Dialect:
    """The row for a model without some capabilities."""
    return _without_capabilities(dialect, missing) if missing else dialect


@lru_cache(maxsize=1024)
def _without_capabilities(dialect: Dialect, missing: frozenset[Capability]) -> Dialect:
    columns = {column: value for capability in missing for column, value in _WITHOUT[capability].items()}
    return msgspec.structs.replace(dialect, **columns)
