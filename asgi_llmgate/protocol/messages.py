"""Messages and their content blocks, opened and checked, not yet understood.

What is checked is only what nobody could translate: a block without a type, a text that is no string, a call without an
id.  Everything else a client may invent is left for the translation to use, or to leave out and report.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol import lazyjson
from asgi_llmgate.protocol.lazyjson import Fields

Role = Literal["user", "assistant", "system"]
ROLES: tuple[Role, ...] = ("user", "assistant", "system")


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


def read_messages(value: Raw) -> list[Message]:
    messages = []
    for index, fields in enumerate(lazyjson.objects(value, "messages")):
        try:
            messages.append(_message(fields))
        except InvalidRequest as wrong:
            raise wrong.at(f"messages.{index}") from None
    return messages


def _message(fields: Fields) -> Message:
    role = lazyjson.string(fields, "role")
    if role not in ROLES:
        raise InvalidRequest("role: Input should be 'user', 'assistant' or 'system'")
    content = lazyjson.given(fields, "content")
    if content is None and role != "system":
        raise InvalidRequest("content: Field required")
    return Message(role, read_content(content, "content"), fields)


def read_content(value: Raw | None, name: str) -> Sequence[Block]:
    """A string, a list of blocks, or nothing."""
    if value is None:
        return ()
    if lazyjson.opens_with(value) == lazyjson.QUOTE:
        return (Block("text", {"text": value}),)
    blocks = []
    for index, fields in enumerate(lazyjson.objects(value, name)):
        try:
            blocks.append(_block(fields))
        except InvalidRequest as wrong:
            raise wrong.at(f"{name}.{index}") from None
    return blocks


def _block(fields: Fields) -> Block:
    kind = lazyjson.string(fields, "type")
    match kind:
        case "text":
            lazyjson.text(fields, "text")
            return Block(kind, fields)
        case "tool_result":
            inner = read_content(lazyjson.given(fields, "content"), "content")
            return Block(kind, fields, lazyjson.string(fields, "tool_use_id"), inner)
        case "tool_use":
            lazyjson.text(fields, "name")
            arguments = lazyjson.given(fields, "input")
            if arguments is not None and lazyjson.opens_with(arguments) != lazyjson.BRACE:
                raise InvalidRequest("input: Input should be an object")
            return Block(kind, fields, lazyjson.string(fields, "id"))
        case "image" | "document":
            return Block(kind, fields, source=_source(fields))
        case _:
            return Block(kind, fields)


def _source(fields: Fields) -> Fields:
    source = lazyjson.opened(lazyjson.given(fields, "source"))
    if source is None:
        raise InvalidRequest("source: Input should be an object")
    try:
        lazyjson.text(source, "type")
    except InvalidRequest as wrong:
        raise wrong.at("source") from None
    return source
