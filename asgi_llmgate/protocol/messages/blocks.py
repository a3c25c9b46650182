"""Messages and their content blocks, opened and checked.

Only what no translation could do without is checked: the type of a block, the text of a `text` block, the id of a call.
Everything else, also a block of an unknown type, is kept for the translation, which uses it, or leaves it out and
reports it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import msgspec
from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest, StructureTooLarge
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import Fields
from asgi_llmgate.protocol.rawjson.structure import STRUCTURE, Structure

T = TypeVar("T")

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
    """A message.  `fields` are its other fields.

    Content that is a string is kept as the one text block that it stands for, so that the upstream request does not
    depend on which of the two forms the client chose this time.
    """

    role: Role
    content: Sequence[Block]
    fields: Fields


class _PlainMessage(msgspec.Struct, forbid_unknown_fields=True):
    """A message as most are, with a list of blocks and nothing else: decoded down to its blocks in one pass."""

    role: Role
    content: list[Fields]


_STRING_FIRST = b'[{"role":"user","content":"'

_decode_plain = msgspec.json.Decoder(list[_PlainMessage]).decode
_decode_str = msgspec.json.Decoder(str).decode


class BlockReader:
    """Opens the content of one request and counts its blocks.  `types` are those of the blocks that are no texts.

    Its methods raise InvalidRequest for what is not valid, and StructureTooLarge before more is opened than `structure`
    allows.
    """

    def __init__(self, structure: Structure = STRUCTURE) -> None:
        self.structure = structure
        self.types: set[str] = set()
        self._blocks = 0
        self._nesting = 0

    def read_messages(self, value: Raw) -> list[Message]:
        """The elements of `messages`."""
        # Most conversations that have strings begin with one.
        if bytes(memoryview(value)[: len(_STRING_FIRST)]) == _STRING_FIRST:
            return self._read_any_messages(value)
        try:
            found = _decode_plain(value)
        except msgspec.ValidationError:
            return self._read_any_messages(value)
        return self._read_each(found, self._read_plain_message)

    def _read_any_messages(self, value: Raw) -> list[Message]:
        """The same for messages of any form; finds what is wrong with them."""
        return self._read_each(objects.require_objects(value, "messages"), self._read_message)

    def _read_each(self, found: list[T], read: Callable[[T], Message]) -> list[Message]:
        self.structure.check_size("messages", found)
        messages: list[Message] = []
        try:
            for each in found:
                messages.append(read(each))
        except InvalidRequest as wrong:
            raise wrong.at(f"messages.{len(messages)}") from None
        return messages

    def _read_plain_message(self, plain: _PlainMessage) -> Message:
        return Message(plain.role, self._read_blocks(plain.content, "content"), {})

    def _read_message(self, fields: Fields) -> Message:
        role = objects.require_str(fields, "role")
        if role not in ROLES:
            raise InvalidRequest("role: Input should be 'user', 'assistant' or 'system'")
        content = objects.get_raw(fields, "content")
        # A system message may carry only `output_config`.
        if content is None and role != "system":
            raise InvalidRequest("content: Field required")
        others = {name: value for name, value in fields.items() if name not in ("role", "content")}
        return Message(role, self.read_content(content, "content"), others)

    def read_content(self, value: Raw | None, name: str) -> Sequence[Block]:
        """Content that is a string, a list of blocks, or absent.  `name` is what messages call it."""
        if value is None or (first := memoryview(value)[0]) == objects.NULL:
            return ()
        if first == objects.QUOTE:
            return (Block("text", {"text": value}),)
        return self._read_blocks(objects.require_objects(value, name), name)

    def _read_blocks(self, found: list[Fields], name: str) -> list[Block]:
        self._blocks += len(found)
        if self._blocks > self.structure.blocks:
            self.structure.check_size("blocks", range(self._blocks), "messages")
        blocks: list[Block] = []
        try:
            for fields in found:
                try:
                    kind = _decode_str(fields["type"])
                except (KeyError, msgspec.ValidationError):
                    kind = objects.require_str(fields, "type")
                if kind == "text":
                    objects.require_raw_str(fields, "text")
                    blocks.append(Block(kind, fields))
                else:
                    blocks.append(self._read_block(kind, fields))
        except InvalidRequest as wrong:
            raise wrong.at(f"{name}.{len(blocks)}") from None
        return blocks

    def _read_block(self, kind: str, fields: Fields) -> Block:
        self.types.add(kind)
        match kind:
            case "tool_result":
                inner = self._read_inner(fields.get("content"))
                return Block(kind, fields, objects.require_str(fields, "tool_use_id"), inner)
            case "tool_use":
                objects.require_raw_str(fields, "name")
                # Any JSON: a client sends a model's slip back as the model wrote it.  It is copied without being
                # opened, so its depth is checked here.
                self.structure.check_depth(fields.get("input", b""))
                return Block(kind, fields, objects.require_str(fields, "id"))
            case "image" | "document":
                return Block(kind, fields, source=_read_source(fields))
            case _:
                for value in fields.values():  # it may be decoded as a whole, to be described
                    self.structure.check_depth(value)
                return Block(kind, fields)

    def _read_inner(self, value: Raw | None) -> Sequence[Block]:
        """The blocks inside a block."""
        # Each level is parsed once more than the level around it, so there must be few.
        if self._nesting == _MAX_NESTING:
            raise StructureTooLarge(f"content: blocks are nested more than {_MAX_NESTING} levels deep")
        self._nesting += 1
        try:
            return self.read_content(value, "content")
        finally:
            self._nesting -= 1


def _read_source(fields: Fields) -> Fields:
    source = objects.read_object(objects.get_raw(fields, "source"))
    if source is None:
        raise InvalidRequest("source: Input should be an object")
    try:
        objects.require_raw_str(source, "type")
    except InvalidRequest as wrong:
        raise wrong.at("source") from None
    return source


def read_content(value: Raw | None, name: str) -> Sequence[Block]:
    """`BlockReader.read_content` with the default limits."""
    return BlockReader().read_content(value, name)
