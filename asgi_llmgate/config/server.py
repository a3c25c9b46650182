"""`server.body_*` and `server.structure`: what the bodies of requests may cost."""

from __future__ import annotations

from functools import partial

import msgspec

from asgi_llmgate._types import Layer
from asgi_llmgate.config import schema as shape
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.protocol.rawjson.structure import Structure
from asgi_llmgate.routing.resolve import ResolveMiddleware

_ROOM = 3
"""Times the size of a body that may be held while it is read: as it came, unpacked, and that joined to one piece."""


def resolve_layer(server: shape.Server) -> Layer:
    """Raises SettingsError."""
    limit = shape.parse_size(server.body_limit, "server.body_limit")
    rate = shape.parse_size(server.body_min_rate, "server.body_min_rate")
    memory = shape.parse_size(server.body_memory, "server.body_memory")
    if rate < 1:
        raise SettingsError("at least 1 byte per second", path="server.body_min_rate")
    if memory < _ROOM * limit:
        hint = f"at least {_ROOM * limit} bytes, or a smaller body_limit"
        raise SettingsError("one body of body_limit would not fit", path="server.body_memory", hint=hint)
    return partial(
        ResolveMiddleware,
        body_limit=limit,
        body_timeout=server.body_timeout,
        body_min_rate=rate,
        body_memory=memory,
        structure=Structure(**msgspec.structs.asdict(server.structure)),
    )
