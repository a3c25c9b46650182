"""A Messages request as Anthropic's clients send it (https://platform.claude.com/docs/en/api/messages).

Claude Code sends more than the documentation has, and more with every release.  So the request is an open object: the
required fields are checked here, and every other field is kept by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from functools import cached_property

from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.blocks import Block, BlockReader, Message
from asgi_llmgate.protocol.messages.events import SIGNATURE
from asgi_llmgate.protocol.messages.own_thinking import cut_own_thinking
from asgi_llmgate.protocol.messages.size import measure_request
from asgi_llmgate.protocol.messages.tool_search import Toolset
from asgi_llmgate.protocol.messages.tools import Tool, read_tools
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.body import TOO_DEEP, OpenedBody, open_body
from asgi_llmgate.protocol.rawjson.members import check_members, check_no_other_models
from asgi_llmgate.protocol.rawjson.objects import Fields
from asgi_llmgate.protocol.rawjson.structure import STRUCTURE, Structure
from asgi_llmgate.protocol.token_estimate import Size, tokens

SAFEGUARD = "safeguard"
"""The class of a request about a tool call that a model has made."""

_SAFEGUARD_BEGINNING = b'"You are a security monitor for autonomous AI coding agents'
"""How the system prompt of Claude Code's own classifier begins.  In front of it is a block of billing data."""

_SYSTEM_BLOCKS = 3

_OPENED = frozenset({"system", "messages", "tools", "model", "max_tokens", "stream"})
"""Fields that are opened level by level, or refused if they are objects or lists."""


class MessagesRequest:
    """A request whose required fields have been checked.  It is an `exchange.RequestFeatures` for rules and limits.

    `opened` is the whole body, decoded one level, and `fields` are its values.  `block_types` are the types of all
    blocks that are no texts, also of those inside others, so that nobody walks through them for one that is not there.
    Texts, schemas and tool inputs are views of the body's bytes, so the request keeps the body in memory as long as it
    lives.
    """

    def __init__(
        self,
        *,
        model: str,
        max_tokens: int,
        stream: bool,
        system: Sequence[Block],
        messages: Sequence[Message],
        block_types: Set[str],
        tools: Sequence[Tool],
        opened: OpenedBody,
        structure: Structure = STRUCTURE,
    ) -> None:
        self.model = model
        self.max_tokens = max_tokens
        self.stream = stream
        self.system = system
        self.messages = messages
        self.block_types = block_types
        self.tools = tools
        self.opened = opened
        self.fields = opened.fields
        self.toolset = Toolset(tools, messages, block_types)
        self._structure = structure

    @cached_property
    def body_to_forward(self) -> OpenedBody:
        """The body for a server that gets the client's own bytes.

        Raises InvalidRequest where a server could read something else in them than the gateway decided on (`members`),
        and StructureTooLarge.
        """
        check_members(self.opened, self._structure)
        check_no_other_models(self.fields)
        return self.opened

    def forwarded(self, changes: Mapping[str, bytes], *, without: str = "") -> bytes:
        """`body_to_forward` with some values (as JSON) replaced, and without the gateway's own thinking blocks.

        `without` is a field to leave out: then also white space between the fields is gone.
        """
        body = self.body_to_forward
        own = None
        # Looking at the bytes is cheaper than looking at each block, and almost no conversation has any.
        if "thinking" in self.block_types and SIGNATURE.encode() in body.body:
            own = cut_own_thinking(self.fields["messages"], self.messages)
        if own is not None:
            changes = {**changes, "messages": own}
        if not without:
            return body.replace_values(changes)
        fields = {**self.fields, **{name: Raw(value) for name, value in changes.items()}}
        fields.pop(without, None)
        return objects.to_json(fields)

    @property
    def temperature(self) -> float | None:
        """None where it is absent or not a number."""
        value = objects.read_value(self.fields.get("temperature"))
        return float(value) if type(value) in (int, float) else None  # not isinstance: a bool is an int

    @property
    def message_count(self) -> int:
        """Elements of `messages`."""
        return len(self.messages)

    @cached_property
    def tool_names(self) -> Sequence[str]:
        """Names of all tools in the request, also of deferred ones and of ones defined in the conversation."""
        everything = (*self.tools, *self.toolset.declared.values(), *self.toolset.unsupported)
        return tuple(dict.fromkeys([tool.name for tool in everything]))

    @cached_property
    def images(self) -> int:
        """Number of images, also in tools' results."""
        if "image" not in self.block_types:
            return 0
        blocks = [block for message in self.messages for block in message.content]
        return sum(each.type == "image" for block in blocks for each in (block, *block.inner))

    @property
    def has_images(self) -> bool:
        """Whether there is an image anywhere, also in tools' results and in documents."""
        if self.block_types.isdisjoint(("image", "document")):
            return False
        return any(_holds_image(block) for message in self.messages for block in message.content)

    @cached_property
    def size(self) -> Size:
        """What an `Estimator` needs of the request.  It holds numbers only, so it may outlive the body."""
        return measure_request(self.fields, self.messages, self.block_types, self.toolset.offered.values())

    @cached_property
    def request_class(self) -> str:
        """SAFEGUARD where Claude Code asks whether a tool call may run; "" for every other request."""
        return SAFEGUARD if any(map(_begins_safeguard, self.system[:_SYSTEM_BLOCKS])) else ""

    @property
    def input_tokens_estimate(self) -> int:
        """Estimated tokens of the prompt for any model; `token_estimate.Estimator` knows the models better."""
        return tokens(self.size)

    def __repr__(self) -> str:
        return (
            f"MessagesRequest(model={self.model!r}, messages={len(self.messages)})"  # no prompt: a repr may reach a log
        )


def decode_messages(body: bytes, *, counting: bool = False, structure: Structure = STRUCTURE) -> MessagesRequest:
    """Decode the body of `POST /v1/messages`, or with `counting` of `POST /v1/messages/count_tokens`.

    With `counting`, `max_tokens` is 0: the body has none.  Raises InvalidRequest, whose message begins with the path
    of what is wrong (`messages.3.content.0.type: Field required`), and StructureTooLarge before more is opened than
    `structure` allows.
    """
    opened = open_body(body, structure)
    fields = opened.fields
    reader = BlockReader(structure)
    for name, value in fields.items():
        if name not in _OPENED:
            structure.check_depth(value, 1)
    try:
        return MessagesRequest(
            model=_read_model(fields, structure),
            max_tokens=0 if counting else _read_max_tokens(fields),
            stream=objects.get_bool(fields, "stream"),
            system=reader.read_content(fields.get("system"), "system"),
            messages=_read_messages(fields, reader),
            block_types=reader.types,
            tools=read_tools(objects.get_raw(fields, "tools"), structure),
            opened=opened,
            structure=structure,
        )
    except RecursionError:  # by a decoder, in a value that is opened here
        raise InvalidRequest(TOO_DEEP) from None


def _read_model(fields: Fields, structure: Structure) -> str:
    model = objects.require_str(fields, "model")
    structure.check_model(model)
    if not model:
        raise InvalidRequest("model: String should have at least 1 character")
    return model


def _read_max_tokens(fields: Fields) -> int:
    asked = objects.get_int(fields, "max_tokens")
    if asked is None:
        raise InvalidRequest("max_tokens: Field required")
    return asked


def _read_messages(fields: Fields, reader: BlockReader) -> Sequence[Message]:
    value = objects.get_raw(fields, "messages")
    if value is None:
        raise InvalidRequest("messages: Field required")
    messages = reader.read_messages(value)
    if not messages:
        raise InvalidRequest("messages: at least one message is required")
    return messages


def _holds_image(block: Block) -> bool:
    if block.source is not None and block.type == "document":
        content = objects.find_objects(block.source.get("content"))
        return any(objects.read_str(each.get("type")) == "image" for each in content)
    return block.type == "image" or any(map(_holds_image, block.inner))


def _begins_safeguard(block: Block) -> bool:
    text = block.fields.get("text")
    # The prompt has 140 kB, so its beginning alone is looked at.
    return text is not None and bytes(memoryview(text)[: len(_SAFEGUARD_BEGINNING)]) == _SAFEGUARD_BEGINNING
