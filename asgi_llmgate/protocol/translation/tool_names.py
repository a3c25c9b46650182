"""Tool names on the way out and back.

OpenAI allows `[a-zA-Z0-9_-]{1,64}`, Anthropic 128 characters, and MCP servers use them.  A name that does not fit is
cut and given a hash of the whole, so that it depends on nothing but itself: the same tool has the same name in every
turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

_fits = re.compile(r"[a-zA-Z0-9_-]{1,64}").fullmatch
_MISFIT = re.compile(r"[^a-zA-Z0-9_-]")


class ToolNames:
    """The mapping of one request.  `declared` are the client's tools, whose own names nobody else may be given."""

    def __init__(self, declared: Iterable[str]) -> None:
        self._upstream = {name: name for name in declared if _fits(name)}
        self.back: dict[str, str] = {}
        """Name as the upstream knows it -> the client's, where they differ."""

    def upstream(self, name: str) -> str:
        """The name to send for a client's name."""
        known = self._upstream.get(name)
        if known is None:
            known = self._upstream[name] = name if _fits(name) and name not in self.back else self._shortened(name)
        return known

    def _shortened(self, name: str) -> str:
        digest, plain = sha256(name.encode()).hexdigest(), _MISFIT.sub("_", name[:64])
        candidates = (f"{plain[: 63 - length]}_{digest[:length]}" for length in range(8, 63))
        short = next(short for short in candidates if short not in self.back and short not in self._upstream)
        self.back[short] = name
        return short
