"""A request whose bytes are forwarded: chat completions for a server of that wire, or a passthrough with any body.

It is read only as far as rules and limits need.  They must see what the server will read: so a name that comes twice in
one object is refused, and `model` is replaced by the target's.
https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.body import OpenedBody, open_body
from asgi_llmgate.protocol.rawjson.members import check_members, check_no_other_models
from asgi_llmgate.protocol.rawjson.objects import Fields
from asgi_llmgate.protocol.rawjson.structure import STRUCTURE, Structure
from asgi_llmgate.protocol.token_estimate import IMAGE_TOKENS, Size, tokens

_LIMIT_FIELDS = (
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "max_tokens_to_sample"),
    *("n_predict", "num_predict", "max_length"),
)
"""Fields that limit the output tokens: OpenAI's three, older ones of Hugging Face and vLLM, and those of llama.cpp and
Ollama, which also accept OpenAI's and do not agree on which one counts."""

_LIMIT_OBJECTS = ("options", "parameters", "generation_config")
"""Objects with such fields: Ollama's `options.num_predict`, Hugging Face's `parameters.max_new_tokens`."""

_LISTS = {"messages": "messages", "tools": "tools", "functions": "tools"}
"""Which limit of `Structure` holds for which list."""

_CHOICE_FIELDS = ("n", "best_of")
_MAX_CHOICES = 128
"""OpenAI's limit: https://platform.openai.com/docs/api-reference/chat/create#chat-create-n."""

_IMAGE_TYPES = frozenset({"image_url", "input_image", "image"})


class ForwardedRequest:
    """The `exchange.RequestFeatures` of any JSON object, or of an empty body; a missing field is empty.

    `opened.body` is the client's body, `fields` are its values.
    """

    def __init__(self, opened: OpenedBody, structure: Structure = STRUCTURE) -> None:
        self.opened = opened
        self.fields = opened.fields
        self.model = objects.require_str(self.fields, "model") if objects.get_raw(self.fields, "model") else ""
        self.stream = objects.get_bool(self.fields, "stream")
        self.max_tokens = _max_tokens(self.fields)
        self._structure = structure

    @property
    def temperature(self) -> float | None:
        value = objects.read_value(self.fields.get("temperature"))
        return float(value) if type(value) in (int, float) else None

    @cached_property
    def tool_names(self) -> Sequence[str]:
        """The names of functions, and the types of other tools; each once."""
        tools = objects.find_objects(self.fields.get("tools"), self._structure)
        functions = objects.find_objects(self.fields.get("functions"), self._structure)
        found = [name for tool in tools for name in _names_of(tool)]
        found += [objects.read_str(function.get("name")) for function in functions]
        return tuple(dict.fromkeys(found))

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

    @property
    def request_class(self) -> str:
        """No body of this kind tells it."""
        return ""

    @cached_property
    def _messages(self) -> Sequence[Fields]:
        """Those of chat completions and those of Responses: a server may read either."""
        both = (self.fields.get("messages"), self.fields.get("input"))
        return [message for value in both for message in objects.find_objects(value, self._structure)]

    @cached_property
    def _image_parts(self) -> Sequence[Fields]:
        parts = [part for message in self._messages for part in self._content(message)]
        return [part for part in parts if _is_image(part)]

    def _content(self, message: Fields) -> list[Fields]:
        """The parts of a message.  Ollama has its images in a separate list."""
        images = message.get("images")
        own = [{"image": image} for image in objects.read_elements(images, self._structure)]
        return own + objects.find_objects(message.get("content"), self._structure)

    @property
    def _images(self) -> int:
        return len(self._image_parts)

    @property
    def _image_bytes(self) -> int:
        return sum(len(value) for part in self._image_parts for value in part.values())

    def __repr__(self) -> str:
        return f"ForwardedRequest(model={self.model!r})"  # without the prompt


def decode_forwarded(body: bytes, *, needs_model: bool, structure: Structure = STRUCTURE) -> ForwardedRequest:
    """Decode a body: a JSON object, or nothing where no model has to be named (`needs_model`).

    Raises `InvalidRequest`, and `StructureTooLarge` before more is decoded than `structure` allows.
    """
    if not body and not needs_model:
        return ForwardedRequest(OpenedBody(b"", {}))
    opened = open_body(body, structure, numbers=needs_model)
    check_members(opened, structure, _LISTS if needs_model else {})
    request = ForwardedRequest(opened, structure)
    structure.check_model(request.model)
    if request.model:
        check_no_other_models(request.fields)
    elif needs_model:
        raise InvalidRequest("model: Field required")
    return request


def _max_tokens(fields: Fields) -> int:
    """The largest of all limits, since it is not known which one the server uses; times the number of choices."""
    within = [(f"{name}.", objects.read_object(fields.get(name)) or {}) for name in _LIMIT_OBJECTS]
    limits = [_integer(place, held, name) for place, held in [("", fields), *within] for name in _LIMIT_FIELDS]
    choices = [_integer("", fields, name, least=1) or 1 for name in _CHOICE_FIELDS]
    if max(choices) > _MAX_CHOICES:
        raise InvalidRequest(f"n, best_of: Input should be less than or equal to {_MAX_CHOICES}")
    return max(limit or 0 for limit in limits) * max(choices)


def _integer(place: str, fields: Fields, name: str, least: int = 0) -> int | None:
    try:
        return objects.get_int(fields, name, least)
    except InvalidRequest as wrong:
        raise InvalidRequest(place + wrong.message) from None


def _names_of(tool: Fields) -> list[str]:
    """Whatever a server may read as the tool's name."""
    places = (objects.read_object(tool.get("function")), objects.read_object(tool.get("custom")), tool)
    names = [name for place in places if place is not None and (name := objects.read_str(place.get("name")))]
    return names or [objects.read_str(tool.get("type"))]


def _is_image(part: Fields) -> bool:
    """By its type, or by its fields: some servers read those if the type is missing."""
    return objects.read_str(part.get("type")) in _IMAGE_TYPES or not _IMAGE_TYPES.isdisjoint(part)
