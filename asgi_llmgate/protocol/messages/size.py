"""The size of a Messages request, from which its tokens are estimated."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Raw

from asgi_llmgate.protocol.messages.blocks import Block, Message
from asgi_llmgate.protocol.messages.tool_search import Tool
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.token_estimate import IMAGE_TOKENS, PDF_BYTES_PER_TOKEN, Size


def measure_request(system: bytes, messages: Iterable[Message], tools: Iterable[Tool]) -> Size:
    """The size of what a model will see: no thinking, and of tools those that are offered."""
    text = len(system)
    media = 0
    for message in messages:
        text += len(message.fields.get("content", b""))
        for block in message.content:
            unread, shown = _apart(block)
            text -= unread
            media += shown
    for tool in tools:
        text += sum(len(tool.fields.get(name, b"")) for name in ("name", "description", "input_schema"))
    return Size(text, media)


def _apart(block: Block) -> tuple[int, int]:
    """Bytes of a block that no model reads as text, and the tokens that it costs otherwise."""
    if block.source is not None:
        return _media(block.type, block.source)
    if block.inner:
        unread, shown = zip(*map(_apart, block.inner), strict=True)
        return sum(unread), sum(shown)
    if block.type in ("thinking", "redacted_thinking"):
        return sum(map(len, block.fields.values())), 0
    return 0, 0


def _media(kind: str, source: dict[str, Raw]) -> tuple[int, int]:
    data = len(source.get("data", b""))
    if kind == "image":
        return data, IMAGE_TOKENS
    if objects.read_str(source["type"]) in ("text", "content"):
        return 0, 0
    return data, max(IMAGE_TOKENS, data * 3 // 4 // PDF_BYTES_PER_TOKEN)
