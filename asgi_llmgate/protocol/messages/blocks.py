"""Messages and their content blocks, opened and checked.

Only what no translation could do without is checked: the type of a block, the text of a `text` block, the id of a call.
Everything else, also a block of an unknown type, is kept for the translation, which uses it, or leaves it out and
reports it.
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

_MAX_NESTING = 4
"""Levels of blocks inside blocks.  Anthropic's own are two: a document in a tool's result."""


class Block(msgspec.Struct, frozen=True, eq=False):
    """A content block.

    `call_id` is the id of a `tool_use`, or of the call that a `tool_result` belongs to.  `inner` are the blocks in a
    tool's result.  `source` is the source of an image or a document, decoded one level.
    """

    type: str
    fields: Fields
    call_id: str = ""
    inner: Sequence[Block] = ()
    source: Fields | None = None


class Message(msgspec.Struct, frozen=True, eq=False):
    """A message.

    Content that is a string is kept as the one text block that it stands for, so that the upstream request does not
    depend on which of the two forms the client chose this time.
    """

    role: Role
    content: Sequence[Block]
    fields: Fields


class BlockReader:
    """Opens the content of one request and counts its blocks.

    Its methods raise InvalidRequest for what is not valid, and StructureTooLarge before more is opened than `structure`
    allows.
    """

    def __init__(self, structure: Structure = STRUCTURE) -> None:
        self.structure = structure
        self._blocks = 0
        self._nesting = 0

    def open_blocks(self, value: Raw, name: str) -> list[Fields]:
        """A list of content blocks, each decoded one level."""
        found = objects.require_objects(value, name)
        self._blocks += len(found)
        if self._blocks > self.structure.blocks:
            self.structure.check_size("blocks", range(self._blocks), "messages")
        return found

    def read_inner(self, value: Raw | None) -> Sequence[Block]:
        """The blocks inside a block."""
        # Each level is parsed once more than the level around it, so there must be few.
        if self._nesting == _MAX_NESTING:
            raise StructureTooLarge(f"content: blocks are nested more than {_MAX_NESTING} levels deep")
        self._nesting += 1
        try:
            return read_content(value, "content", self)
        finally:
            self._nesting -= 1


def read_messages(value: Raw, reader: BlockReader | None = None) -> list[Message]:
    """The elements of `messages`.  Raises InvalidRequest with the place, and StructureTooLarge."""
    reader = reader or BlockReader()
    found = objects.require_objects(value, "messages")
    reader.structure.check_size("messages", found)
    messages = []
    for index, fields in enumerate(found):
        try:
            messages.append(_read_message(fields, reader))
        except InvalidRequest as wrong:
            raise wrong.at(f"messages.{index}") from None
    return messages


def _read_message(fields: Fields, reader: BlockReader) -> Message:
    role = objects.require_str(fields, "role")
    if role not in ROLES:
        raise InvalidRequest("role: Input should be 'user', 'assistant' or 'system'")
    content = objects.get_raw(fields, "content")
    # A system message may carry only `output_config`.
    if content is None and role != "system":
        raise InvalidRequest("content: Field required")
    return Message(role, read_content(content, "content", reader), fields)


def read_content(value: Raw | None, name: str, reader: BlockReader | None = None) -> Sequence[Block]:
    """Content that is a string, a list of blocks, or absent.  `name` is what messages call it.

    Raises InvalidRequest with the place, and StructureTooLarge.
    """
    reader = reader or BlockReader()
    if value is None:
        return ()
    if objects.first_byte(value) == objects.QUOTE:
        return (Block("text", {"text": value}),)
    blocks = []
    for index, fields in enumerate(reader.open_blocks(value, name)):
        try:
            blocks.append(_read_block(fields, reader))
        except InvalidRequest as wrong:
            raise wrong.at(f"{name}.{index}") from None
    return blocks


def _read_block(fields: Fields, reader: BlockReader) -> Block:
    kind = objects.require_str(fields, "type")
    match kind:
        case "text":
            objects.require_raw_str(fields, "text")
            return Block(kind, fields)
        case "tool_result":
            inner = reader.read_inner(objects.get_raw(fields, "content"))
            return Block(kind, fields, objects.require_str(fields, "tool_use_id"), inner)
        case "tool_use":
            objects.require_raw_str(fields, "name")
            arguments = objects.get_raw(fields, "input")
            if arguments is not None:  # any JSON: a client sends a model's slip back as the model wrote it
                # It is copied without being opened, so its depth is checked here.
                reader.structure.check_depth(bytes(arguments))
            return Block(kind, fields, objects.require_str(fields, "id"))
        case "image" | "document":
            return Block(kind, fields, source=_read_source(fields))
        case _:
            return Block(kind, fields)


def _read_source(fields: Fields) -> Fields:
    source = objects.read_object(objects.get_raw(fields, "source"))
    if source is None:
        raise InvalidRequest("source: Input should be an object")
    try:
        objects.require_raw_str(source, "type")
    except InvalidRequest as wrong:
        raise wrong.at("source") from None
    return source
