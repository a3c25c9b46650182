"""What a delta says, in whichever of its fields a server put it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from asgi_llmgate.protocol.chat.chunks import Delta
from asgi_llmgate.protocol.rawjson import arrays
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS

Kind: TypeAlias = Literal["text", "thinking"]
Passage: TypeAlias = tuple[Kind, bytes]
"""A piece of text or reasoning, as raw characters (see `jsontext`)."""


class _Part(Struct, gc=False):
    """A content part (OpenAI's `text` and `refusal`, Mistral's `thinking`) or one of OpenRouter's
    `reasoning_details`; each has its words under one of these names."""

    type: str = ""
    text: Raw = Raw(b"")
    thinking: Raw = Raw(b"")
    refusal: Raw = Raw(b"")
    summary: Raw = Raw(b"")


_parts = msgspec.json.Decoder(list[_Part])


def content_of(delta: Delta) -> list[Passage]:
    """`content`: a string, or a list of parts."""
    value = bytes(delta.content)
    if value.startswith(b'"'):
        return [("text", value[1:-1])]
    return [
        ("thinking", _string(part.thinking) or _words(part.thinking))
        if part.type == "thinking"
        else ("text", _string(part.text) or _string(part.refusal))
        for part in _read_parts(value)
    ]


def reasoning_of(delta: Delta) -> bytes:
    """The reasoning, once: a server that fills several of the fields says the same in each."""
    if not (delta.reasoning_content or delta.reasoning or delta.reasoning_details):
        return b""
    return _string(delta.reasoning_content) or _string(delta.reasoning) or _words(delta.reasoning_details)


def refusal_of(delta: Delta) -> bytes:
    return _string(delta.refusal) if delta.refusal else b""


def _string(value: Raw) -> bytes:
    text = bytes(value)
    return text[1:-1] if text.startswith(b'"') else b""


def _words(value: Raw) -> bytes:
    return b"".join([_string(part.text) or _string(part.summary) for part in _read_parts(bytes(value))])


def _read_parts(value: bytes) -> list[_Part]:
    """The parts of a list; a list of something else, or no list at all, has none.  Raises errors.Broken for a list
    that no model writes."""
    if not value.startswith(b"["):
        return []
    arrays.check_length(value)
    try:
        return _parts.decode(value)
    except DECODE_ERRORS:
        return []
