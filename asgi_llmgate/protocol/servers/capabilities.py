"""Capabilities that a model turns out not to have: images, JSON schemas, some orders of roles, some forms of content.

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
        "json_schema": {"response_format": "none"},
        "unstreamed_thinking": {"unstreamed_thinking": False},
        # Its own default is refused, too: the field is sent whatever the client asks for (laurent22/joplin#16451).
        "thinking_with_tools": {
            "reasoning": "effort",
            "efforts": ("none", "low", "medium", "high"),
            "tools_effort": "none",
        },
        "developer": {"system_role": "system"},
        "system": {"system_role": "user", "mid_system": "user"},
        "mid_system": {"mid_system": "user"},
        "same_role_twice": {"alternate_roles": True},
        "user_after_tool": {"user_after_tool": False},
        "calls_at_once": {"calls_at_once": False},
        "null_content": {"empty_content": "string"},
        "empty_content": {"empty_content": "absent"},
        "content_parts": {"content_parts": False},
        "plain_prefill": {"last_assistant": "prefix"},
        "prefill": {"last_assistant": "user"},
        "long_ids": {"call_ids": "up_to_64"},
        "ids_over_40": {"call_ids": "up_to_40"},
        "repeated_ids": {"call_ids": "unique"},  # of at most 40 characters, too
        "free_ids": {"call_ids": "nine"},
        "unsigned_calls": {"call_signatures": "google"},
        "calls_without_details": {"call_signatures": "openrouter"},
        "calls_without_reasoning": {"reasoning_scope": "calls"},
        "reasoning_in_history": {"reasoning_history": "drop", "reasoning_scope": "tool_loop"},
    }
)
"""The columns of a dialect for a model without a capability.  A later line counts more than an earlier one."""


def without_capabilities(dialect: Dialect, missing: frozenset[Capability]) -> Dialect:
    """The row for a model without some capabilities."""
    return _without_capabilities(dialect, missing) if missing else dialect


@lru_cache(maxsize=1024)
def _without_capabilities(dialect: Dialect, missing: frozenset[Capability]) -> Dialect:
    columns = {
        column: value
        for capability, without in _WITHOUT.items()
        if capability in missing
        for column, value in without.items()
    }
    return msgspec.structs.replace(dialect, **columns)
