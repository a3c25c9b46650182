"""The text and the reasoning of a delta, in whichever of its fields a server put them, and in whichever shape.

The standard is a string, or a list of parts with a `type` and a `text`.  Servers write lists of strings, parts with
other members (Mistral's `thinking`, Databricks' `reasoning` with a `summary`: litellm#9700, ellmer#822), an object in
place of the string, and lists inside of parts.  So the text of a value is: the string; the texts of a list's elements,
joined; of an object the first of some members that has a text.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from asgi_llmgate.protocol.chat.chunks import Delta
from asgi_llmgate.protocol.rawjson import arrays

Kind: TypeAlias = Literal["text", "thinking", "refusal"]
Passage: TypeAlias = tuple[Kind, bytes]
"""A piece of text, of reasoning, or of the text with which a model refuses; in raw form (see `rawjson.strings`)."""

_ABSENT = Raw(b"")


class _Part(Struct, gc=False):
    """A content part, or one of OpenRouter's `reasoning_details`."""

    type: Raw = _ABSENT
    text: Raw = _ABSENT
    value: Raw = _ABSENT
    content: Raw = _ABSENT
    thinking: Raw = _ABSENT
    reasoning: Raw = _ABSENT
    summary: Raw = _ABSENT
    refusal: Raw = _ABSENT


_TEXTS = ("text", "value", "content")
_REASONINGS = ("thinking", "reasoning", "summary")

_MAX_DEPTH = 4
"""Values inside of values: a list of parts, a part's list, its parts, their text."""

_part_decoder = msgspec.json.Decoder(_Part)
_list_decoder = msgspec.json.Decoder(list[Raw])


def read_passages(delta: Delta) -> list[Passage]:
    """The passages of a delta: reasoning, then content, then a refusal.  Raises errors.Broken for a list of parts that
    is too long."""
    passages: list[Passage] = []
    # A server that fills several of the fields repeats itself: the first one counts.
    if (
        delta.reasoning_content or delta.reasoning or delta.reasoning_details or delta.reasoning_text or delta.thinking
    ) and (reasoning := _read_reasoning(delta)):
        passages.append(("thinking", reasoning))
    content = bytes(delta.content)
    if content.startswith(b'"'):
        if len(content) > 2:  # servers send an empty text beside reasoning, and at the beginning
            passages.append(("text", content[1:-1]))
    elif content.startswith((b"[", b"{")):
        passages += _read_parts(content)
    if delta.refusal and (refusal := _text_of(delta.refusal)):
        passages.append(("refusal", refusal))
    return passages


def _read_reasoning(delta: Delta) -> bytes:
    names = (
        delta.reasoning_content, delta.reasoning, delta.reasoning_text, delta.thinking, delta.reasoning_details,
    )  # fmt: skip
    return next((text for name in names if name and (text := _text_of(name))), b"")


def _read_parts(content: bytes) -> list[Passage]:
    """The passages of content that is a list, or one part without a list."""
    parts = _elements(content) if content.startswith(b"[") else [content]
    return [passage for part in parts if (passage := _read_part(bytes(part)))[1]]


def _read_part(value: bytes) -> Passage:
    part = _decode_part(value)
    if part is None:
        return "text", _text_of(value)
    if reasoning := _first_text(part, _REASONINGS, 1):
        return "thinking", reasoning
    if refusal := _first_text(part, ("refusal",), 1):
        return "refusal", refusal
    kind: Kind = "thinking" if bytes(part.type).startswith((b'"reasoning', b'"thinking')) else "text"
    return kind, _first_text(part, _TEXTS, 1)


def _text_of(value: bytes | Raw, depth: int = 0) -> bytes:
    """The text of a value, in raw form; nothing for a value that holds none."""
    text = bytes(value)
    if text.startswith(b'"'):
        return text[1:-1]
    if depth < _MAX_DEPTH and text.startswith(b"["):
        return b"".join([_text_of(element, depth + 1) for element in _elements(text)])
    part = _decode_part(text) if depth < _MAX_DEPTH else None
    return b"" if part is None else _first_text(part, (*_TEXTS, *_REASONINGS), depth + 1)


def _first_text(part: _Part, names: tuple[str, ...], depth: int) -> bytes:
    return next((text for name in names if (text := _text_of(getattr(part, name), depth))), b"")


def _decode_part(value: bytes) -> _Part | None:
    """The part that a JSON object is; None for any other value."""
    return _part_decoder.decode(value) if value.startswith(b"{") else None


def _elements(array: bytes) -> list[Raw]:
    arrays.check_length(array)
    return _list_decoder.decode(array)
