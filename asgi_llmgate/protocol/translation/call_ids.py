"""Ids of tool calls: the client's, which are made here, and the model server's, which they hold.

A client needs ids that are unique in its conversation: Claude Code loses a call or a result whose id it has seen
before, and it names files after them.  Servers begin again in each response (`Bash:0`, `0`: vllm-project/vllm#50295),
write characters that no file name and no other server takes, or write kilobytes.  But some want their own ids back as
they were: Kimi K2 finds the tool's name in them and counts them (vybestack/llxprt-code#713), Mistral takes nine
letters and digits only.  So an id for the client is

    toolu_lg 8 characters _ the server's id, escaped

of at most 64 characters (`:` is `Z3a`).  The 8 characters are a hash that differs for each call of each response.  A
server's id that does not fit is left out: then the server gets the client's id.  What is needed to read an id is in the
id: nothing is stored, and any worker can read what another one has written.
"""

from __future__ import annotations

import re
import string
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from itertools import count
from types import MappingProxyType
from typing import NamedTuple

from asgi_llmgate.protocol.servers.columns import CallIds

MAX_LENGTH = 64
"""Characters of an id that every client and server takes; Anthropic's own ids have 30."""

PREFIX = "toolu_lg"
"""The beginning of every id that is made here."""

# `Z` begins an escape: two hexadecimal digits of a byte, or `n` for the name of the tool.
_OURS = re.compile(r"toolu_lg[A-Za-z0-9_-]{8}_((?:[A-Ya-z0-9_-]++|Z[0-9a-f]{2}|Zn)++)")
_ESCAPED = re.compile(rb"[^A-Ya-z0-9_-]")
_ESCAPE = re.compile(rb"Z(n|[0-9a-f]{2})")

_ALPHABET = string.ascii_letters + string.digits


def make_call_id(response_id: str, number: int, upstream_id: str = "", name: str = "") -> str:
    """The client's id of a call.

    `response_id` and `number`: which response, and which call of it.  `upstream_id` is the server's id, empty for none,
    and `name` the tool's name as the server knows it.
    """
    digest = blake2b(f"{response_id} {number}".encode(), digest_size=6).digest()
    own = PREFIX + urlsafe_b64encode(digest).decode()
    return next((f"{own}_{held}" for held in _escape(upstream_id, name) if len(own) + len(held) < MAX_LENGTH), own)


def own_part(call_id: str) -> str:
    """The part of an id of `make_call_id` that is the same whatever id of the server it holds."""
    return call_id[: len(PREFIX) + 8]


def _escape(upstream_id: str, name: str) -> Iterator[str]:
    """The id in the client's alphabet; then, shorter, with a mark in place of the tool's name."""
    if 0 < len(upstream_id) < MAX_LENGTH + len(name):
        yield _escape_text(upstream_id)
        before, found, after = upstream_id.partition(name) if name else ("", "", "")
        if found:
            yield f"{_escape_text(before)}Zn{_escape_text(after)}"


def _escape_text(text: str) -> str:
    return _ESCAPED.sub(lambda found: b"Z%02x" % found[0][0], text.encode()).decode()


def read_call_id(call_id: str, name: str = "") -> str | None:
    """The server's id in an id of `make_call_id`; None for any other id, and for one that holds none."""
    found = _OURS.fullmatch(call_id)
    if found is None:
        return None
    escaped: str = found[1]
    if "Z" not in escaped:
        return escaped
    held = _ESCAPE.sub(lambda it: name.encode() if it[1] == b"n" else bytes.fromhex(it[1].decode()), escaped.encode())
    try:
        return held.decode()
    except UnicodeDecodeError:
        return None


class _Shape(NamedTuple):
    """Ids that a server accepts, and how one is made for a call whose own id it does not accept."""

    fits: Callable[[str], object]
    prefix: str
    length: int


_SHAPES: Mapping[CallIds, _Shape] = MappingProxyType(
    {
        "any": _Shape(bool, "call_", 24),
        "nine": _Shape(re.compile(r"[A-Za-z0-9]{9}").fullmatch, "", 9),
        "up_to_40": _Shape(re.compile(r".{1,40}", re.DOTALL).fullmatch, "call_", 24),
        "up_to_64": _Shape(re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch, "call_", 24),
        "unique": _Shape(re.compile(r"[A-Za-z0-9_-]{1,40}").fullmatch, "call_", 24),
    }
)

_UNIQUE: frozenset[CallIds] = frozenset({"nine", "unique"})
"""Shapes whose ids are used once in a conversation.  With the others a server gets its own ids back, repeated or not.

A server may want a shape, and each id once.  It says so in two errors, so `nine` and `unique` fulfil both: the
correction for one error must not undo that for the other.
"""


class UpstreamIds:
    """The server's ids of the calls of one conversation; `shape` is what the server accepts.

    No id depends on a later turn, so a conversation gets the same ids in each request.
    """

    def __init__(self, shape: CallIds) -> None:
        self._fits, self._prefix, self._length = _SHAPES[shape]
        self._unique = shape in _UNIQUE
        self._used = {""}  # in this turn, or in the conversation

    def next_turn(self) -> None:
        """The next calls are those of another turn."""
        if not self._unique:
            self._used = {""}

    def of_call(self, call_id: str, own: str | None) -> str:
        """The id of a call: `own`, the server's, if it is known, or else the client's.

        An id of another shape is replaced by a hash of the client's.
        """
        found = own or call_id
        if found in self._used or not self._fits(found):
            found = next(each for each in self._candidates(call_id, own) if each not in self._used)
        self._used.add(found)
        return found

    def _candidates(self, call_id: str, own: str | None) -> Iterator[str]:
        # Two responses that a client has joined may have used the same id, and a history may repeat ids.
        for found in (own, call_id):
            if found and self._fits(found):
                yield found
        yield from (self._prefix + _letters(f"{call_id} {number}", self._length) for number in count())


def _letters(text: str, length: int) -> str:
    number = int.from_bytes(blake2b(text.encode(), digest_size=32).digest())
    letters = ""
    while len(letters) < length:
        number, rest = divmod(number, len(_ALPHABET))
        letters += _ALPHABET[rest]
    return letters
