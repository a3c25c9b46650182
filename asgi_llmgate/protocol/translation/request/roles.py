"""Orders of roles that some servers do not accept, and what to send instead.

Mistral's API and most chat templates want a message of the assistant between a tool's result and the user's next words
(zed#31736, avante.nvim#2695, hermes-agent#20154).  Others want the user's message last, or a mark on the assistant's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

EMPTY_CONTENT: Mapping[str, bytes] = MappingProxyType({"none": b"null", "string": b'""', "absent": b""})
"""The `content` beside calls by `Dialect.empty_content`; b"": no such field."""

NO_CONTENT = b'"(no content)"'
"""The text of a user message that has nothing in it."""

_REMINDER = b'"<system-reminder>'
_BETWEEN = b'{"role":"assistant","content":"OK."}'
_CONTINUE = b'"Continue your last message from where it ends, without repeating it."'


def is_assistant(last: Sequence[bytes]) -> bool:
    """Whether the last message is the assistant's."""
    return bool(last) and last[-1].startswith(b'{"role":"assistant"')


def user(text: bytes) -> bytes:
    """A user message of one text."""
    return b'{"role":"user","content":%s}' % text


def separate_from_results(written: list[bytes], parts: list[bytes]) -> list[bytes]:
    """The parts of a user message that may follow what is written, which may end with a tool's result.

    Claude Code's reminders are appended to the result, as newer versions of it do: the tool loop goes on.  Before
    the user's own words there is a message of the assistant.
    """
    if not parts or not written or not written[-1].startswith(b'{"role":"tool"'):
        return parts
    reminders = [part for part in parts if _is_reminder(part)]
    if reminders:
        texts = b"".join(rb"\n\n" + bytes(part)[1:-1] for part in reminders)
        written[-1] = written[-1].removesuffix(b'"}') + texts + b'"}'
    rest = [part for part in parts if not _is_reminder(part)]
    if rest:
        written.append(_BETWEEN)
    return rest


def _is_reminder(part: bytes) -> bool:
    return bytes(memoryview(part)[: len(_REMINDER)]) == _REMINDER


def end_with_assistant(written: list[bytes], how: str) -> None:
    """The end of a conversation whose last message is the assistant's, for `Dialect.last_assistant`."""
    if how == "prefix":
        written[-1] = written[-1].removesuffix(b"}") + b',"prefix":true}'
    elif how == "user":
        written.append(user(_CONTINUE))
