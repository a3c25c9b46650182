"""Content blocks as parts of a chat message.

A part is a text (a JSON string) or an object (`image_url`, `file`), which is sent as it is.  What the model cannot be
shown is replaced by a text that says so, and reported, so that the conversation stays complete.

https://platform.claude.com/docs/en/api/messages#body-messages-content,
https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.blocks import Block, read_content
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import Fields, to_json
from asgi_llmgate.protocol.translation.request.draft import Draft, safe_name
from asgi_llmgate.protocol.translation.request.tool_pairs import Turn
from asgi_llmgate.protocol.translation.request.tool_search import reference_text

Part: TypeAlias = Raw | dict[str, Any]

PLACE = "messages[].content[]."
"""How reports call a block."""

KNOWN_FIELDS: Mapping[str, frozenset[str]] = {
    "text": frozenset({"type", "text"}),
    "image": frozenset({"type", "source"}),
    "document": frozenset({"type", "source", "title", "context"}),
    "search_result": frozenset({"type", "source", "title", "content"}),
    "tool_reference": frozenset({"type", "tool_name"}),
    "tool_use": frozenset({"type", "id", "name", "input"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "compaction": frozenset({"type", "content", "tool_changes"}),
}
"""Fields of each block that are translated, or that mean nothing to another server."""

_TEXT_FIELDS = len(KNOWN_FIELDS["text"])  # a text block has both, but for a string as content, which has its text only

_INVISIBLE = frozenset({"redacted_thinking", "fallback", "mcp_tool_listing"})
"""Blocks for Anthropic's client and server only: Claude does not see them either."""

_META_FIELDS = frozenset(
    {"type", "id", "tool_use_id", "cache_control", "citations", "caller", "signature", "data", "source"}
    | {"encrypted_content", "encrypted_index", "encrypted_stdout"}
)
"""Fields that mean nothing to another model; some of them are long."""


def report_unknown_fields(draft: Draft, block: Block) -> None:
    """Report the fields of a block that are not translated."""
    known = KNOWN_FIELDS.get(block.type)
    if known is not None:
        draft.dropped.add_unknown(PLACE, block.fields, known)


def texts_in(parts: Iterable[Part]) -> list[Raw]:
    """The texts among some parts."""
    return [part for part in parts if isinstance(part, Raw)]


def kind_of(part: dict[str, Any]) -> str:
    """What to call a part that is not a text."""
    return "image" if part["type"] == "image_url" else "document"


def text_part(text: str) -> Raw:
    """A text of the gateway's own as a part."""
    return Raw(to_json(text))


def join_texts(texts: Sequence[Raw], separator: bytes) -> Raw:
    """Several texts as one.  `separator` is in escaped form (`rb"\\n"`)."""
    return texts[0] if len(texts) == 1 else Raw(objects.join_strs(texts, separator))


def content_parts(draft: Draft, turn: Turn, blocks: Iterable[Block]) -> list[Part]:
    """The parts for some blocks of a turn, or of a result in it; none for a block without content.

    Raises InvalidRequest, with the place, for a `file_id`.
    """
    parts: list[Part] = []
    for block in blocks:
        if block.type == "text" and len(block.fields) <= _TEXT_FIELDS:  # almost every block
            if not objects.is_blank_str(text := block.fields["text"]):
                parts.append(text)
            continue
        try:
            parts += _parts_of(draft, block)
        except InvalidRequest as wrong:
            raise wrong.at(turn.place_of(block)) from None
    return parts


def _parts_of(draft: Draft, block: Block) -> Sequence[Part]:
    report_unknown_fields(draft, block)
    match block.type:
        case "text":
            return () if objects.is_blank_str(text := block.fields["text"]) else (text,)
        case "image":
            return [_image(draft, block)]
        case "document":
            return _document(draft, block)
        case "search_result":
            return [_search_result(draft, block)]
        case "tool_reference":
            return [text_part(reference_text(draft, block))]
        case "compaction":
            return _texts_in(block, "content")
        case "container_upload":
            raise _file_error()
        case kind if kind in _INVISIBLE:
            draft.dropped.add(PLACE + kind)
            return []
    draft.dropped.add(PLACE + safe_name(block.type))
    return [_describe(block)]


def _describe(block: Block) -> Raw:
    """A block that has no counterpart, such as a `web_search_tool_result`, as text: its type and its fields."""
    fields = {name: objects.read_value(value) for name, value in block.fields.items()}
    return text_part(f"[{block.type}] {to_json(_without_meta_fields(fields)).decode()}")


def _without_meta_fields(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_meta_fields(inner) for name, inner in value.items() if name not in _META_FIELDS}
    if isinstance(value, list):
        return [_without_meta_fields(inner) for inner in value]
    return value


def _file_error() -> InvalidRequest:
    return InvalidRequest("file_id: this gateway stores no files; send the content itself")


def _image(draft: Draft, block: Block) -> Part:
    source = block.source or {}
    kind = objects.read_str(source["type"])
    if kind == "file":
        raise _file_error()
    if draft.excess_images > 0:
        # The oldest images are left out: a client cannot take back an image that it has sent.
        draft.excess_images -= 1
        kind = ""
    if not draft.dialect.content_parts:
        kind = ""
    if kind == "base64" and draft.dialect.images != "none":
        return {"type": "image_url", "image_url": {"url": _data_url(source)}}
    if kind == "url" and draft.dialect.images == "all":
        return {"type": "image_url", "image_url": {"url": objects.require_raw_str(source, "url")}}
    draft.dropped.add(PLACE + "image")
    return text_part("[an image was here that this model cannot be shown]")


def _data_url(source: Fields) -> Raw:
    media_type, data = objects.require_raw_str(source, "media_type"), objects.require_raw_str(source, "data")
    # The data is megabytes long: a view, so that it is copied once.
    return Raw(b'"data:%s;base64,%s"' % (bytes(media_type)[1:-1], memoryview(data)[1:-1]))


def _document(draft: Draft, block: Block) -> list[Part]:
    source = block.source or {}
    match objects.read_str(source["type"]):
        case "text":
            return [_with_title(block, [objects.require_raw_str(source, "data")])]
        case "content":
            inner = _inner_parts(draft, source.get("content"))
            return [_with_title(block, texts_in(inner)), *(part for part in inner if not isinstance(part, Raw))]
        case "file":
            raise _file_error()
        case "base64" if draft.dialect.pdf == "file" and draft.dialect.content_parts:
            name = objects.read_str(block.fields.get("title")) or "document.pdf"
            return [{"type": "file", "file": {"filename": name, "file_data": _data_url(source)}}]
    draft.dropped.add(PLACE + "document")
    return [text_part(_missing_document(block, source))]


def _inner_parts(draft: Draft, content: Raw | None) -> list[Part]:
    """The parts of the content of a document or a search result.

    That is texts and images.  A document in it is described and not opened, so that nesting ends here.
    """
    found: list[Part] = []
    for child in read_content(content, "content"):
        if child.type in ("document", "search_result"):
            draft.dropped.add(PLACE + child.type)
            found.append(_describe(child))
        else:
            found += _parts_of(draft, child)
    return found


def _texts_in(block: Block, *names: str) -> list[Raw]:
    """The fields of a block among some names that are non-empty strings."""
    return [value for name in names if (value := objects.read_raw_str(block.fields, name)) is not None]


def _with_title(block: Block, texts: list[Raw]) -> Raw:
    return join_texts([*_texts_in(block, "title", "context"), *texts], rb"\n")


def _missing_document(block: Block, source: Fields) -> str:
    name = objects.read_str(block.fields.get("title")) or objects.read_str(source.get("url")) or "untitled"
    size = len(source.get("data", b"")) * 3 // 4000  # kB; base64 has four characters for three bytes
    return f"[a document was here that this model cannot be shown: {name}" + (f", {size} kB]" if size else "]")


def _search_result(draft: Draft, block: Block) -> Raw:
    texts = texts_in(_inner_parts(draft, objects.get_raw(block.fields, "content")))
    return join_texts([*_texts_in(block, "title", "source"), *texts], rb"\n")
