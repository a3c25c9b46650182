"""A request whose own bytes are handed on: OpenAI's wire to a server that speaks it, or a body that nobody here knows.

It is read only as far as decisions go.  What the rules decide on must be what the server reads, so a name that comes
twice in any of its objects is refused, and `model` is written anew from the decision.
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

_LIMITS = (
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "max_tokens_to_sample"),
    *("n_predict", "num_predict", "max_length"),
)
"""What servers call the most tokens that may be written: OpenAI's three, Hugging Face's and vLLM's older ones, and
llama.cpp's and Ollama's, which take OpenAI's as well and do not agree on which one counts."""

_LIMITS_WITHIN = ("options", "parameters", "generation_config")
"""Objects that hold them: Ollama's `options.num_predict`, Hugging Face's `parameters.max_new_tokens`."""

_LISTS = {"messages": "messages", "tools": "tools", "functions": "tools"}
"""Which limit each has."""

_CHOICES = ("n", "best_of")
_MOST_CHOICES = 128
"""OpenAI's own: https://platform.openai.com/docs/api-reference/chat/create#chat-create-n."""

_IMAGES = frozenset({"image_url", "input_image", "image"})


class ForwardedRequest:
    """An `exchange.Asked` over any JSON object, or none at all: what is not there is empty.

    `opened.body` is what the client sent, `fields` are its values.
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
        """Of functions their names, of anything else its type."""
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

    @cached_property
    def _messages(self) -> Sequence[Fields]:
        """A server may read either."""
        both = (self.fields.get("messages"), self.fields.get("input"))
        return [message for value in both for message in objects.find_objects(value, self._structure)]

    @cached_property
    def _image_parts(self) -> Sequence[Fields]:
        parts = [part for message in self._messages for part in self._content(message)]
        return [part for part in parts if _is_image(part)]

    def _content(self, message: Fields) -> list[Fields]:
        """What a message holds; with Ollama its images are in a list of their own."""
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
        return f"ForwardedRequest(model={self.model!r})"  # prompts are nobody's business


def decode_forwarded(body: bytes, *, needs_model: bool, structure: Structure = STRUCTURE) -> ForwardedRequest:
    """Decode a body that is a JSON object, or empty where no model has to be named.

    Raises `InvalidRequest`, and `StructureTooLarge` before more is opened than `structure` allows.
    """
    if not body and not needs_model:
        return ForwardedRequest(OpenedBody(b"", {}, {}))
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
    """The largest of all limits, for all choices together: which of them counts is the server's own affair."""
    within = [(f"{name}.", objects.read_object(fields.get(name)) or {}) for name in _LIMITS_WITHIN]
    limits = [_integer(place, held, name) for place, held in [("", fields), *within] for name in _LIMITS]
    choices = [_integer("", fields, name, least=1) or 1 for name in _CHOICES]
    if max(choices) > _MOST_CHOICES:
        raise InvalidRequest(f"n, best_of: Input should be less than or equal to {_MOST_CHOICES}")
    return max(limit or 0 for limit in limits) * max(choices)


def _integer(place: str, fields: Fields, name: str, least: int = 0) -> int | None:
    try:
        return objects.get_int(fields, name, least)
    except InvalidRequest as wrong:
        raise InvalidRequest(place + wrong.message) from None


def _names_of(tool: Fields) -> list[str]:
    """All that a server may take for a tool's name."""
    places = (objects.read_object(tool.get("function")), objects.read_object(tool.get("custom")), tool)
    names = [name for place in places if place is not None and (name := objects.read_str(place.get("name")))]
    return names or [objects.read_str(tool.get("type"))]


def _is_image(part: Fields) -> bool:
    """By its type, or by what it holds: some servers go by that where the type is left out."""
    return objects.read_str(part.get("type")) in _IMAGES or not _IMAGES.isdisjoint(part)
