"""The size of a Messages request, from which its tokens are estimated before a model server counts them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from msgspec import Raw

from asgi_llmgate.protocol.messages.blocks import Block, Message
from asgi_llmgate.protocol.messages.tools import Tool
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import Fields
from asgi_llmgate.protocol.token_estimate import IMAGE_TOKENS, PDF_BYTES_PER_TOKEN, Size

_THINKING = frozenset({"thinking", "redacted_thinking"})
_NOT_TEXT = _THINKING | {"image", "document"}

_AROUND_CONTENT = len(b'{"role":"user","content":},')


def measure_request(fields: Fields, messages: Sequence[Message], types: Set[str], tools: Iterable[Tool]) -> Size:
    """The size of what a model will read.  Thinking does not count.

    `fields` are those of the request, `types` those of all blocks in it, `tools` are those that are offered.
    """
    # The whole conversation at once, minus what is no text: cheaper than to add up every text in it.
    text = len(fields.get("system", b"")) + len(fields["messages"]) - _AROUND_CONTENT * len(messages)
    media = 0
    if not types.isdisjoint(_NOT_TEXT):
        for message in messages:
            for block in message.content:
                not_text, tokens = _measure_block(block)
                text -= not_text
                media += tokens
    for tool in tools:
        text += sum(map(len, tool.fields.values()))
    return Size(max(0, text), media)


def _measure_block(block: Block) -> tuple[int, int]:
    """Bytes of a block that no model reads as text, and the tokens that they cost as media."""
    if block.source is not None:
        return _measure_media(block.type, block.source)
    if block.inner:
        not_text, tokens = zip(*map(_measure_block, block.inner), strict=True)
        return sum(not_text), sum(tokens)
    if block.type in _THINKING:
        return sum(map(len, block.fields.values())), 0
    return 0, 0


def _measure_media(kind: str, source: dict[str, Raw]) -> tuple[int, int]:
    data = len(source.get("data", b""))
    if kind == "image":
        return data, IMAGE_TOKENS
    if objects.read_str(source["type"]) in ("text", "content"):
        return 0, 0  # a document that is text
    # Base64: three bytes of the PDF in four characters.
    return data, max(IMAGE_TOKENS, data * 3 // 4 // PDF_BYTES_PER_TOKEN)
