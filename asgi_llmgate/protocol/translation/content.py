"""Content blocks -> content parts.

A part is JSON: a string is a text, an object (`image_url`, `file`) goes as it is.  What the model behind cannot be
shown is told in words, so that the conversation stays whole, and is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.blocks import Block, read_content
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import Fields, to_json
from asgi_llmgate.protocol.translation.draft import Draft, named

PLACE = "messages[].content[]."

_KNOWN: Mapping[str, frozenset[str]] = {
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

_UNSPOKEN = frozenset({"redacted_thinking", "fallback", "mcp_tool_listing"})
"""Blocks that are bookkeeping between Anthropic's client and server; a model is not shown them there either."""

_NOISE = frozenset(
    {"type", "id", "tool_use_id", "cache_control", "citations", "caller", "signature", "data", "source"}
    | {"encrypted_content", "encrypted_index", "encrypted_stdout"}
)
"""Fields that say nothing to another model, some of them at length."""


def check(draft: Draft, block: Block) -> None:
    """Report the fields of a block that nothing here reads."""
    known = _KNOWN.get(block.type)
    if known is not None:
        draft.report.unknown(PLACE, block.fields, known)


def is_text(part: bytes) -> bool:
    return objects.first_byte(part) == objects.QUOTE


def kind_of(part: bytes) -> str:
    """What to call a part that is no text."""
    return "image" if part.startswith(b'{"type":"image') else "document"


def as_object(part: bytes) -> bytes:
    """A part as an element of a `content` list."""
    return b'{"type":"text","text":%s}' % part if is_text(part) else part


def parts(draft: Draft, block: Block) -> list[bytes]:
    """The parts that say what a block says; empty where there is nothing to say."""
    check(draft, block)
    match block.type:
        case "text":
            text = block.fields["text"]
            return [] if objects.is_empty_str(text) else [text]
        case "image":
            return [_image(draft, block)]
        case "document":
            return _document(draft, block)
        case "search_result":
            return [_search_result(draft, block)]
        case "tool_reference":
            return [_reference(draft, block)]
        case "compaction":
            return _filled(block, "content")
        case "container_upload":
            raise _file(block.fields)
        case kind if kind in _UNSPOKEN:
            draft.report.add(PLACE + kind)
            return []
    draft.report.add(PLACE + named(block.type))
    return [told(block)]


def told(block: Block) -> bytes:
    """A block that has no counterpart, as text."""
    fields = {name: objects.read_value(value) for name, value in block.fields.items()}
    return to_json(f"[{block.type}] {to_json(_without_noise(fields)).decode()}")


def _without_noise(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_noise(inner) for name, inner in value.items() if name not in _NOISE}
    if isinstance(value, list):
        return [_without_noise(inner) for inner in value]
    return value


def _file(fields: Fields) -> InvalidRequest:
    return InvalidRequest("file_id: files are not held here; send the content itself")


def _image(draft: Draft, block: Block) -> bytes:
    source = block.source or {}
    kind = objects.read_str(source["type"])
    if kind == "file":
        raise _file(source)
    if draft.images_over > 0:
        draft.images_over -= 1
        kind = ""
    if kind == "base64" and draft.dialect.images != "none":
        return b'{"type":"image_url","image_url":{"url":%s}}' % _data_url(source)
    if kind == "url" and draft.dialect.images == "all":
        return b'{"type":"image_url","image_url":{"url":%s}}' % objects.require_raw_str(source, "url")
    draft.report.add(PLACE + "image")
    return to_json("[an image was here that this model cannot be shown]")


def _data_url(source: Fields) -> bytes:
    media_type, data = objects.require_raw_str(source, "media_type"), objects.require_raw_str(source, "data")
    return b'"data:%s;base64,%s"' % (bytes(media_type)[1:-1], memoryview(data)[1:-1])


def _document(draft: Draft, block: Block) -> list[bytes]:
    source = block.source or {}
    match objects.read_str(source["type"]):
        case "text":
            return [_titled(block, [objects.require_raw_str(source, "data")])]
        case "content":
            inner = _inside(draft, source.get("content"))
            texts = [part for part in inner if is_text(part)]
            return [_titled(block, texts), *(part for part in inner if not is_text(part))]
        case "file":
            raise _file(source)
        case "base64" if draft.dialect.pdf == "file":
            name = objects.read_str(block.fields.get("title")) or "document.pdf"
            return [b'{"type":"file","file":{"filename":%s,"file_data":%s}}' % (to_json(name), _data_url(source))]
    draft.report.add(PLACE + "document")
    return [to_json(_missing(block, source))]


def _inside(draft: Draft, content: Raw | None) -> list[bytes]:
    """The parts of a document's own content.  That is text and images: what would be opened once more is told."""
    found: list[bytes] = []
    for child in read_content(content, "content"):
        if child.type in ("document", "search_result"):
            draft.report.add(PLACE + child.type)
            found.append(told(child))
        else:
            found += parts(draft, child)
    return found


def _filled(block: Block, *names: str) -> list[bytes]:
    """The texts among some optional fields."""
    return [value for name in names if (value := objects.read_raw_str(block.fields, name)) is not None]


def _titled(block: Block, texts: list[bytes]) -> bytes:
    return objects.join_strs([*_filled(block, "title", "context"), *texts], rb"\n")


def _missing(block: Block, source: Fields) -> str:
    name = objects.read_str(block.fields.get("title")) or objects.read_str(source.get("url")) or "untitled"
    size = len(source.get("data", b"")) * 3 // 4000
    return f"[a document was here that this model cannot be shown: {name}" + (f", {size} kB]" if size else "]")


def _search_result(draft: Draft, block: Block) -> bytes:
    texts = [part for part in _inside(draft, objects.get_raw(block.fields, "content")) if is_text(part)]
    return objects.join_strs([*_filled(block, "title", "source"), *texts], rb"\n")


def _reference(draft: Draft, block: Block) -> bytes:
    name = objects.read_str(block.fields.get("tool_name"))
    tool = draft.request.toolset.declared.get(name)
    if tool is None:
        draft.report.add(PLACE + "tool_reference")
    line = f"Tool now available: {draft.names.upstream(name)}"
    if tool is None or draft.options.tool_references == "names":
        return to_json(line)
    about = [objects.get_raw(tool.fields, field) for field in ("description", "input_schema")]
    return to_json("\n".join([line, *(bytes(value).decode() for value in about if value is not None)]))
