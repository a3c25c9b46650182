"""Messages and their content blocks, opened and checked, not yet understood.

What is checked is only what nobody could translate: a block without a type, a text that is no string, a call without an
id.  Everything else a client may invent is left for the translation to use, or to leave out and report.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest, StructureTooLarge
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import Fields
from asgi_llmgate.protocol.rawjson.structure import STRUCTURE, Structure

Role = Literal["user", "assistant", "system"]
ROLES: tuple[Role, ...] = ("user", "assistant", "system")

_WITHIN = 4
"""Anthropic's own blocks lie two deep: a document in a tool's result."""


class Block(msgspec.Struct, frozen=True, eq=False):
    """A content block.

    `call_id` is a `tool_use`'s own id, or that of the call that a `tool_result` answers; `inner` is a result's content,
    itself blocks; `source` is an image's or a document's, opened.
    """

    type: str
    fields: Fields
    call_id: str = ""
    inner: Sequence[Block] = ()
    source: Fields | None = None


class Message(msgspec.Struct, frozen=True, eq=False):
    """A message.  Content given as a string is held as the one text block that it is short for, so that what is written
    upstream does not depend on which of the two forms the client chose today."""

    role: Role
    content: Sequence[Block]
    fields: Fields


class BlockReader:
    """Counts what is opened of one request, before it is looked at.  Raises `StructureTooLarge`."""

    def __init__(self, structure: Structure = STRUCTURE) -> None:
        self.structure = structure
        self._blocks = 0
        self._within = 0

    def blocks(self, value: Raw, name: str) -> list[Fields]:
        """A list of content blocks."""
        found = objects.require_objects(value, name)
        self._blocks += len(found)
        self.structure.check_size("blocks", range(self._blocks), "messages")
        return found

    def inner(self, value: Raw | None) -> Sequence[Block]:
        """The content of a block.  Each level of it is read once more than the one around it, and there are few."""
        if self._within == _WITHIN:
            raise StructureTooLarge(f"content: blocks lie more than {_WITHIN} deep in one another")
        self._within += 1
        try:
            return read_content(value, "content", self)
        finally:
            self._within -= 1


def read_messages(value: Raw, reading: BlockReader | None = None) -> list[Message]:
    reading = reading or BlockReader()
    found = objects.require_objects(value, "messages")
    reading.structure.check_size("messages", found)
    messages = []
    for index, fields in enumerate(found):
        try:
            messages.append(_message(fields, reading))
        except InvalidRequest as wrong:
            raise wrong.at(f"messages.{index}") from None
    return messages


def _message(fields: Fields, reading: BlockReader) -> Message:
    role = objects.require_str(fields, "role")
    if role not in ROLES:
        raise InvalidRequest("role: Input should be 'user', 'assistant' or 'system'")
    content = objects.get_raw(fields, "content")
    if content is None and role != "system":
        raise InvalidRequest("content: Field required")
    return Message(role, read_content(content, "content", reading), fields)


def read_content(value: Raw | None, name: str, reading: BlockReader | None = None) -> Sequence[Block]:
    """A string, a list of blocks, or nothing."""
    reading = reading or BlockReader()
    if value is None:
        return ()
    if objects.first_byte(value) == objects.QUOTE:
        return (Block("text", {"text": value}),)
    blocks = []
    for index, fields in enumerate(reading.blocks(value, name)):
        try:
            blocks.append(_block(fields, reading))
        except InvalidRequest as wrong:
            raise wrong.at(f"{name}.{index}") from None
    return blocks


def _block(fields: Fields, reading: BlockReader) -> Block:
    kind = objects.require_str(fields, "type")
    match kind:
        case "text":
            objects.require_raw_str(fields, "text")
            return Block(kind, fields)
        case "tool_result":
            inner = reading.inner(objects.get_raw(fields, "content"))
            return Block(kind, fields, objects.require_str(fields, "tool_use_id"), inner)
        case "tool_use":
            objects.require_raw_str(fields, "name")
            arguments = objects.get_raw(fields, "input")
            if arguments is not None and objects.first_byte(arguments) != objects.BRACE:
                raise InvalidRequest("input: Input should be an object")
            if arguments is not None:
                reading.structure.check_depth(bytes(arguments))
            return Block(kind, fields, objects.require_str(fields, "id"))
        case "image" | "document":
            return Block(kind, fields, source=_source(fields))
        case _:
            return Block(kind, fields)


def _source(fields: Fields) -> Fields:
    source = objects.read_object(objects.get_raw(fields, "source"))
    if source is None:
        raise InvalidRequest("source: Input should be an object")
    try:
        objects.require_raw_str(source, "type")
    except InvalidRequest as wrong:
        raise wrong.at("source") from None
    return source
