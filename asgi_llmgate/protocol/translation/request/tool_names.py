"""Tool names on the way to the server and back.

OpenAI allows `[a-zA-Z0-9_-]{1,64}`; Anthropic allows 128 characters, and MCP servers use them.  A name that does not
fit is cut and gets a hash of the whole name.  The result depends on the name only, so a tool has the same name in every
turn, and prompt caches hold.  Moonshot and Gemini also want a letter first (MoonshotAI/kimi-cli#2531).
"""

from __future__ import annotations

import re
from collections.abc import Container
from hashlib import sha256

_FITS = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_FITS_LETTER_FIRST = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}")
_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9_-]")


class ToolNames(dict[str, str]):
    """The names of one request: `names[name]` is the name to send for a client's name.

    `declared` are the client's tools; no other tool gets one of their names.  With `letter_first` every name begins
    with a letter.  `back` maps a name that the server knows to the client's, where the two differ.
    """

    def __init__(self, declared: Container[str], *, letter_first: bool = False) -> None:
        self._declared = declared
        self._letter_first = letter_first
        self.back: dict[str, str] = {}

    def __missing__(self, name: str) -> str:
        fits = (_FITS_LETTER_FIRST if self._letter_first else _FITS).fullmatch(name)
        sent = self[name] = name if fits and name not in self.back else self._shorten(name)
        return sent

    def _shorten(self, name: str) -> str:
        if self._letter_first and not (name[:1].isascii() and name[:1].isalpha()):
            return self._unique(name, "t_" + name)
        return self._unique(name, name)

    def _unique(self, name: str, readable: str) -> str:
        digest, allowed = sha256(name.encode()).hexdigest(), _NOT_ALLOWED.sub("_", readable[:64])
        # Eight digits of the hash; more only where another tool has that name already.
        candidates = (f"{allowed[: 63 - length]}_{digest[:length]}" for length in range(8, 63))
        short = next(short for short in candidates if self._is_free(short))
        self.back[short] = name
        return short

    def _is_free(self, name: str) -> bool:
        return not (name in self.back or name in self._declared or name in self)
