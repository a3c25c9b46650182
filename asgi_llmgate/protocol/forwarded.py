"""A request whose own bytes are handed on: OpenAI's wire to a server that speaks it, or a body that nobody here knows.

It is read only as far as decisions go.  What the rules decide on must be what the server reads, so a name that comes
twice in any of its objects is refused, and `model` is written anew from the decision.
https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol import lazyjson
from asgi_llmgate.protocol.lazyjson import Fields, Opened
from asgi_llmgate.protocol.members import check_members
from asgi_llmgate.protocol.structure import STRUCTURE, Structure
from asgi_llmgate.protocol.tokens import IMAGE_TOKENS, Size, tokens

_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_IMAGES = frozenset({"image_url", "input_image"})


class ForwardedRequest:
    """An `exchange.Asked` over any JSON object, or none at all: what is not there is empty.

    `opened.body` is what the client sent, `fields` are its values.
    """

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.fields = opened.fields
        self.model = lazyjson.string(self.fields, "model") if lazyjson.given(self.fields, "model") else ""
        self.stream = lazyjson.is_true(self.fields.get("stream"))

    @property
    def max_tokens(self) -> int:
        return next((value for name in _LIMITS if type(value := lazyjson.read(self.fields.get(name))) is int), 0)

    @property
    def temperature(self) -> float | None:
        value = lazyjson.read(self.fields.get("temperature"))
        return float(value) if type(value) in (int, float) else None

    @cached_property
    def tool_names(self) -> Sequence[str]:
        """Of functions their names, of anything else its type."""
        return tuple(dict.fromkeys(map(_tool_name, lazyjson.read_objects(self.fields.get("tools")))))

    @property
    def message_count(self) -> int:
        return len(self._messages)

    @property
    def has_images(self) -> bool:
        return self._images > 0

    @cached_property
    def size(self) -> Size:
        text = sum(len(self.fields.get(name, b"")) for name in ("messages", "input", "prompt", "tools"))
        return Size(max(0, text - self._image_bytes), self._images * IMAGE_TOKENS)

    @property
    def input_tokens_estimate(self) -> int:
        return tokens(self.size)

    @cached_property
    def _messages(self) -> Sequence[Fields]:
        return lazyjson.read_objects(self.fields.get("messages") or self.fields.get("input"))

    @cached_property
    def _image_parts(self) -> Sequence[Fields]:
        parts = [part for message in self._messages for part in lazyjson.read_objects(message.get("content"))]
        return [part for part in parts if lazyjson.read_string(part.get("type")) in _IMAGES]

    @property
    def _images(self) -> int:
        return len(self._image_parts)

    @property
    def _image_bytes(self) -> int:
        return sum(len(value) for part in self._image_parts for value in part.values())

    def __repr__(self) -> str:
        return f"ForwardedRequest(model={self.model!r})"  # prompts are nobody's business


def decode_forwarded(body: bytes, *, needs_model: bool, structure: Structure = STRUCTURE) -> ForwardedRequest:
    """Decode a body that is a JSON object, or empty where no model has to be named.

    Raises `InvalidRequest`, and `StructureTooLarge` before more is opened than `structure` allows.
    """
    if not body and not needs_model:
        return ForwardedRequest(Opened(b"", {}, {}))
    opened = lazyjson.open_body(body, structure, numbers=needs_model)
    check_members(opened, structure)
    request = ForwardedRequest(opened)
    structure.check_model(request.model)
    if needs_model:
        _check_call(request, structure)
    return request


def _check_call(request: ForwardedRequest, structure: Structure) -> None:
    if not request.model:
        raise InvalidRequest("model: Field required")
    for name, limit in (("messages", "messages"), ("tools", "tools"), ("functions", "tools")):
        structure.check_size(limit, lazyjson.elements(request.fields.get(name), structure), name)


def _tool_name(tool: Fields) -> str:
    function = lazyjson.opened(tool.get("function")) or tool
    return lazyjson.read_string(function.get("name")) or lazyjson.read_string(tool.get("type"))
