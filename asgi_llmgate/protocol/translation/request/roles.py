"""Orders of roles that some servers do not accept, and what to send instead.

Mistral's API and most chat templates want a message of the assistant between a tool's result and the user's next words
(zed#31736, avante.nvim#2695, hermes-agent#20154).  Others want the user's message last, or a mark on the assistant's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

from msgspec import Raw

from asgi_llmgate.protocol.translation.request.content import Part, texts_in

ChatMessage: TypeAlias = dict[str, Any]
"""A message of a chat request: plain values, in which a `Raw` is JSON that is copied."""

EMPTY_CONTENT: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"none": {"content": None}, "string": {"content": ""}, "absent": {}}
)
"""The field for the text of a message with calls that has none, by `Dialect.empty_content`."""

NO_CONTENT = Raw(b'"(no content)"')
"""The text of a user message that has nothing in it."""

_REMINDER = b'"<system-reminder>'
_CONTINUE = "Continue your last message from where it ends, without repeating it."


def is_assistant(written: Sequence[ChatMessage]) -> bool:
    """Whether the last message is the assistant's."""
    return bool(written) and written[-1]["role"] == "assistant"


def separate_from_results(written: list[ChatMessage], parts: list[Part]) -> list[Part]:
    """The parts of a user message that may follow what is written, which may end with a tool's result.

    Claude Code's reminders are appended to the result, as newer versions of it do: the tool loop goes on.  Before
    the user's own words there is a message of the assistant.
    """
    if not parts or not written or written[-1]["role"] != "tool":
        return parts
    reminders = [part for part in texts_in(parts) if _is_reminder(part)]
    if reminders:
        texts = b"".join(rb"\n\n" + bytes(part)[1:-1] for part in reminders)
        result = written[-1]
        result["content"] = Raw(b'%s%s"' % (bytes(result["content"])[:-1], texts))
    rest = [part for part in parts if not (isinstance(part, Raw) and _is_reminder(part))]
    if rest:
        written.append({"role": "assistant", "content": "OK."})
    return rest


def _is_reminder(text: Raw) -> bool:
    return bytes(memoryview(text)[: len(_REMINDER)]) == _REMINDER


def end_with_assistant(written: list[ChatMessage], how: str) -> None:
    """The end of a conversation whose last message is the assistant's, for `Dialect.last_assistant`."""
    if how == "prefix":
        written[-1]["prefix"] = True
    elif how == "user":
        written.append({"role": "user", "content": _CONTINUE})
