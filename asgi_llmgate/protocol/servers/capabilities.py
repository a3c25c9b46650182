"""Capabilities that a model turns out not to have: images, documents, a system message in the middle, JSON schemas.

A dialect describes a kind of server; the models behind it differ, and the settings may not say how.  An error that says
so corrects the request (`corrections`): it is written again as for a dialect without the capability.  If the error went
to the client instead, the conversation would be over: Claude Code repeats the same request six times, and the image
that it has read stays in every later request.

Only a sentence about the model counts (`wordings.capabilities`), and only at the beginning of the error: behind it
servers quote requests, and a request may contain any text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import msgspec

from asgi_llmgate.protocol.servers.columns import Dialect
from asgi_llmgate.protocol.servers.wordings.capabilities import MISSING_CAPABILITIES, Capability

_STATUSES = frozenset({400, 404, 422, 500})
"""404 is OpenRouter's, 500 llama.cpp's."""

_SEARCHED = 400
"""Characters at the beginning of an error that are searched."""

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


def missing_capabilities(status: int, error_text: str) -> Iterable[tuple[tuple[int, int], frozenset[Capability]]]:
    """The capabilities that an error says the model does not have, each with the start and end of the words for it."""
    if status not in _STATUSES:
        return ()
    text, found = error_text[:_SEARCHED], defaultdict[tuple[int, int], set[Capability]](set)
    for capability, pattern in MISSING_CAPABILITIES.items():
        if (match := pattern.search(text)) is not None:
            found[match.span()].add(capability)
    return [(span, frozenset(missing)) for span, missing in found.items()]


def without_capabilities(dialect: Dialect, missing: frozenset[Capability]) -> Dialect:
    """The row for a model without some capabilities."""
    return _without_capabilities(dialect, missing) if missing else dialect


@lru_cache(maxsize=1024)
def _without_capabilities(dialect: Dialect, missing: frozenset[Capability]) -> Dialect:
    columns = {column: value for capability in missing for column, value in _WITHOUT[capability].items()}
    return msgspec.structs.replace(dialect, **columns)
