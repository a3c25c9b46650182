"""The text and the reasoning of a delta, in whichever of its fields a server put them."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from asgi_llmgate.protocol.chat.chunks import Delta
from asgi_llmgate.protocol.rawjson import arrays
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS

Kind: TypeAlias = Literal["text", "thinking", "refusal"]
Passage: TypeAlias = tuple[Kind, bytes]
"""A piece of text, of reasoning, or of the text with which a model refuses; in raw form (see `rawjson.strings`)."""


class _Part(Struct, gc=False):
    """A content part (OpenAI's `text` and `refusal`, Mistral's `thinking`) or one of OpenRouter's
    `reasoning_details`; its text is in one of these fields."""

    type: str = ""
    text: Raw = Raw(b"")
    thinking: Raw = Raw(b"")
    refusal: Raw = Raw(b"")
    summary: Raw = Raw(b"")


_parts_decoder = msgspec.json.Decoder(list[_Part])


def read_passages(delta: Delta) -> list[Passage]:
    """The passages of a delta: reasoning, then content, then a refusal.  Raises errors.Broken for a list of parts that
    is too long."""
    passages: list[Passage] = []
    # A server that fills several of the fields repeats itself: the first one counts.
    if delta.reasoning_content or delta.reasoning or delta.reasoning_details:
        reasoning = _text_of(delta.reasoning_content) or _text_of(delta.reasoning) or _join(delta.reasoning_details)
        if reasoning:
            passages.append(("thinking", reasoning))
    content = bytes(delta.content)
    if content.startswith(b'"'):
        passages.append(("text", content[1:-1]))
    elif content.startswith(b"["):
        passages += map(_read_part, _read_parts(content))
    if delta.refusal and (refusal := _text_of(delta.refusal)):
        passages.append(("refusal", refusal))
    return passages


def _read_part(part: _Part) -> Passage:
    if part.type == "thinking":
        return "thinking", _text_of(part.thinking) or _join(part.thinking)
    return "text", _text_of(part.text) or _text_of(part.refusal)


def _text_of(value: Raw) -> bytes:
    """The characters of a JSON string; nothing for any other value."""
    text = bytes(value)
    return text[1:-1] if text.startswith(b'"') else b""


def _join(parts: Raw) -> bytes:
    return b"".join([_text_of(part.text) or _text_of(part.summary) for part in _read_parts(bytes(parts))])


def _read_parts(value: bytes) -> list[_Part]:
    """The parts of a list; none of a list of something else, or of what is not a list."""
    if not value.startswith(b"["):
        return []
    arrays.check_length(value)
    try:
        return _parts_decoder.decode(value)
    except DECODE_ERRORS:
        return []
