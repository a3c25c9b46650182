"""The assistant's messages of one turn, as messages of a chat request.

Messages of the assistant that follow each other become one: their texts, their calls, and what the server requires of
its own response (`translation.carriers`, and its reasoning).  Where the server accepts one call per message, each
further call gets a message of its own, behind the result of the one before.
"""

from __future__ import annotations

from msgspec import Raw

from asgi_llmgate.protocol.messages.blocks import Block
from asgi_llmgate.protocol.messages.events import INVALID_INPUT
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.translation.call_ids import UpstreamIds, own_part, read_call_id
from asgi_llmgate.protocol.translation.carriers import Carriers, has_carriers, read_signature
from asgi_llmgate.protocol.translation.request import content, roles
from asgi_llmgate.protocol.translation.request.draft import Draft
from asgi_llmgate.protocol.translation.request.tool_pairs import Turn

MESSAGE_FIELDS = frozenset({"role", "content"})
"""The known fields of a message of the user or the assistant."""

_GOOGLES_PLACEHOLDER = b',"extra_content":{"google":{"thought_signature":"skip_thought_signature_validator"}}'
"""In place of the signature of a call, for Gemini: https://ai.google.dev/gemini-api/docs/thought-signatures#faqs."""

_OPENROUTERS_PLACEHOLDER = (
    b'{"type":"reasoning.encrypted","data":"skip_thought_signature_validator","id":%s,"format":"google-gemini-v1",'
    b'"index":0}'
)
"""The same for OpenRouter, with the id of the call."""


class AssistantTurn:
    """Writes the assistant's messages of one turn.  `upstream_ids` makes the ids of its calls.

    `ids` are the server's ids of the calls, as JSON, by the client's.
    """

    def __init__(self, draft: Draft, turn: Turn, upstream_ids: UpstreamIds) -> None:
        self._draft = draft
        self._turn = turn
        self._later_calls: list[bytes] = []
        self._carriers = self._read_carriers()
        ids = upstream_ids.of_turn(
            (call_id, self._carriers.ids.get(own_part(call_id)) or read_call_id(call_id, self._name_of(call)))
            for call_id, call in turn.calls.items()
        )
        self.ids = {call_id: to_json(upstream_id) for call_id, upstream_id in ids.items()}

    def message(self, *, with_thinking: bool) -> bytes:
        """The one message.  b"" for a message without text and calls: servers refuse it, and the model does not miss
        it."""
        texts: list[bytes] = []
        thoughts: list[bytes] = []
        calls: list[bytes] = []
        for _, message in self._turn.assistant:
            self._draft.dropped.add_unknown("messages[].", message.fields, MESSAGE_FIELDS)
            for block in message.content:
                if block.type == "tool_use":
                    if self._turn.calls[block.call_id] is block:  # of two calls with one id the first counts
                        calls.append(self._tool_call(block))
                elif block.type == "thinking":
                    thoughts += self._thought(block)
                else:
                    texts += self._only_texts(content.parts_of_turn(self._draft, self._turn, block))
        if not (texts or calls):
            return b""
        thinking = self._thinking_field(thoughts, with_calls=bool(calls)) if with_thinking else b""
        thinking += self._carriers.message_json()
        if calls and not self._carriers.lists and self._draft.dialect.call_signatures == "openrouter":
            placeholders = (_OPENROUTERS_PLACEHOLDER % each for each in self.ids.values())
            thinking += b',"reasoning_details":[%s]' % b",".join(placeholders)
        if not self._draft.dialect.calls_at_once:
            calls, self._later_calls = calls[:1], calls[1:]
        return self._assistant_message(texts, calls, thinking)

    def later_message(self, number: int) -> bytes:
        """The message that the call `number` (from 0) has of its own; b"" if the first message has it."""
        if not number or not self._later_calls:
            return b""
        thinking = self._thinking_field([], with_calls=True)
        return self._assistant_message([], [self._later_calls[number - 1]], thinking)

    def _read_carriers(self) -> Carriers:
        """What the server wants back of the assistant's messages."""
        carriers = Carriers()
        for _, message in self._turn.assistant:
            for block in message.content:
                if block.type == "thinking" and has_carriers(objects.read_str(block.fields.get("signature"))):
                    signature, thinking = (
                        objects.read_str(block.fields.get(name)) for name in ("signature", "thinking")
                    )
                    found = read_signature(signature, thinking, self._draft.seal)
                    if found is None:
                        self._draft.dropped.add(content.PLACE + "thinking.signature")
                    else:
                        carriers.add(found)
        return carriers

    def _name_of(self, call: Block) -> str:
        return self._draft.tool_names.upstream(objects.require_str(call.fields, "name"))

    def _assistant_message(self, texts: list[bytes], calls: list[bytes], thinking: bytes) -> bytes:
        text = objects.join_strs(texts, rb"\n") if texts else roles.EMPTY_CONTENT[self._draft.dialect.empty_content]
        tools = b',"tool_calls":[%s]' % b",".join(calls) if calls else b""
        return b'{"role":"assistant"%s%s%s}' % (b',"content":%s' % text if text else b"", thinking, tools)

    def _tool_call(self, block: Block) -> bytes:
        fields = self._carriers.calls.get(own_part(block.call_id), {})
        more = b"".join(b',"%s":%s' % (name.encode(), value) for name, value in fields.items())
        # Of parallel calls Gemini signs the first one only.
        if not self._carriers.calls and self._draft.dialect.call_signatures == "google":
            more = _GOOGLES_PLACEHOLDER
        content.report_unknown_fields(self._draft, block)
        return b'{"id":%s,"type":"function","function":{"name":%s,"arguments":%s}%s}' % (
            self.ids[block.call_id],
            to_json(self._name_of(block)),
            _arguments(objects.get_raw(block.fields, "input")),
            more,
        )

    def _thought(self, block: Block) -> list[bytes]:
        content.report_unknown_fields(self._draft, block)
        if not self._draft.dialect.reasoning_field:
            self._draft.dropped.add(content.PLACE + "thinking")
        return [to_json(thought)] if (thought := objects.read_str(block.fields.get("thinking"))) else []

    def _thinking_field(self, thoughts: list[bytes], *, with_calls: bool) -> bytes:
        """The field for the server's own reasoning of a turn, with a comma before it; nothing for none."""
        dialect = self._draft.dialect
        if not thoughts and with_calls and dialect.reasoning_scope == "calls":
            # The client did not ask for thinking, or another model wrote the history.  Moonshot takes an empty text for
            # none (earendil-works/pi#4179).
            thoughts = [b'" "']
        if not thoughts or not dialect.reasoning_field:
            return b""
        return b',"%s":%s' % (dialect.reasoning_field.encode(), objects.join_strs(thoughts, rb"\n"))

    def _only_texts(self, parts: list[bytes]) -> list[bytes]:
        """The texts among some parts: an assistant message of chat completions holds no images."""
        texts = [part for part in parts if content.is_text(part)]
        if len(texts) < len(parts):
            self._draft.dropped.add(content.PLACE + "image")
        return texts


def _arguments(given: Raw | None) -> bytes:
    """The input of a call as the JSON string that its arguments are."""
    if given is None:
        return b'"{}"'
    text = objects.compact(given).decode()
    # A model's slip comes back as it was.  Templates of servers want an object: the one that a response without a
    # stream has for such arguments.
    return to_json(text if text[0] == "{" else to_json({INVALID_INPUT: text}).decode())
