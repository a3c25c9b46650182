"""The assistant's messages of one turn, as messages of a chat request.

Messages of the assistant that follow each other become one: their texts, their calls, and what the server requires of
its own response (`translation.carriers`, and its reasoning).  Where the server accepts one call per message, each
further call gets a message of its own, behind the result of the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.blocks import Block
from asgi_llmgate.protocol.messages.events import INVALID_INPUT
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.translation.call_ids import PREFIX, UpstreamIds, own_part, read_call_id
from asgi_llmgate.protocol.translation.carriers import Carriers, has_carriers, read_signature
from asgi_llmgate.protocol.translation.request import content, roles
from asgi_llmgate.protocol.translation.request.draft import Draft
from asgi_llmgate.protocol.translation.request.roles import ChatMessage
from asgi_llmgate.protocol.translation.request.tool_pairs import Turn

MESSAGE_FIELDS = frozenset({"role", "content"})
"""The known fields of a message of the user or the assistant."""

_CALL_FIELDS = content.KNOWN_FIELDS["tool_use"]

_GOOGLES_PLACEHOLDER = {"extra_content": {"google": {"thought_signature": "skip_thought_signature_validator"}}}
"""In place of the signature of a call, for Gemini: https://ai.google.dev/gemini-api/docs/thought-signatures#faqs."""

_NO_REASONING = Raw(b'" "')
"""Reasoning that is not known: Moonshot takes an empty text for none (earendil-works/pi#4179)."""

_NO_CARRIERS = Carriers()


class AssistantTurn:
    """Writes the assistant's messages of one turn.  `upstream_ids` makes the ids of its calls.

    `ids` are the server's ids of the calls by the client's.
    """

    def __init__(self, draft: Draft, turn: Turn, upstream_ids: UpstreamIds) -> None:
        self._draft = draft
        self._turn = turn
        self._later_calls: list[ChatMessage] = []
        self._carriers = _read_carriers(draft, turn.thinking) if turn.thinking else _NO_CARRIERS
        self.ids = upstream_ids.of_turn(self._own_ids()) if turn.calls else {}

    def message(self, *, with_thinking: bool) -> ChatMessage | None:
        """The one message.  None for a message without text and calls: servers refuse it, and the model does not miss
        it."""
        draft, turn = self._draft, self._turn
        texts: list[Raw] = []
        thoughts: list[Raw] = []
        calls: list[dict[str, Any]] = []
        for _, message in turn.assistant:
            if message.fields:
                draft.dropped.add_unknown("messages[].", message.fields, MESSAGE_FIELDS)
            for block in message.content:
                if block.type == "tool_use":
                    if turn.calls[block.call_id] is block:  # of two calls with one id the first counts
                        calls.append(self._tool_call(block))
                elif block.type == "thinking":
                    thoughts += self._thought(block)
                else:
                    try:
                        parts = content.content_parts(draft, block)
                    except InvalidRequest as wrong:
                        raise wrong.at(turn.place_of(block)) from None
                    for part in parts:
                        if isinstance(part, Raw):
                            texts.append(part)
                        else:  # an assistant message of chat completions holds no images
                            draft.dropped.add(content.PLACE + "image")
        if not (texts or calls):
            return None
        more = self._thinking_field(thoughts, with_calls=bool(calls)) if with_thinking else {}
        if self._carriers is not _NO_CARRIERS:
            more = {**more, **self._carriers.message_fields()}
        if calls and not self._carriers.lists and draft.dialect.call_signatures == "openrouter":
            more = {**more, "reasoning_details": [_openrouters_placeholder(each) for each in self.ids.values()]}
        if len(calls) > 1 and not draft.dialect.calls_at_once:
            later = self._thinking_field([], with_calls=True)
            self._later_calls = [self._assistant_message([], [call], later) for call in calls[1:]]
            calls = calls[:1]
        return self._assistant_message(texts, calls, more)

    def later_message(self, number: int) -> ChatMessage | None:
        """The message that the call `number` (from 0) has of its own; None if the first message has it."""
        return self._later_calls[number - 1] if number and self._later_calls else None

    def _own_ids(self) -> list[tuple[str, str | None]]:
        """The client's ids of the calls, each with the server's own."""
        found: list[tuple[str, str | None]] = []
        for call_id, call in self._turn.calls.items():
            own = self._carriers.ids.get(own_part(call_id)) if self._carriers.ids else None
            if not own and call_id.startswith(PREFIX):
                name = self._draft.tool_names.upstream(objects.require_str(call.fields, "name"))
                own = read_call_id(call_id, name)
            found.append((call_id, own or None))
        return found

    def _assistant_message(self, texts: list[Raw], calls: list[dict[str, Any]], more: Mapping[str, Any]) -> ChatMessage:
        if texts:
            message = {"role": "assistant", "content": content.join_texts(texts, rb"\n"), **more}
        else:
            message = {"role": "assistant", **roles.EMPTY_CONTENT[self._draft.dialect.empty_content], **more}
        if calls:
            message["tool_calls"] = calls
        return message

    def _tool_call(self, block: Block) -> dict[str, Any]:
        draft, carriers = self._draft, self._carriers
        if not block.fields.keys() <= _CALL_FIELDS:
            content.report_unknown_fields(draft, block)
        name = draft.tool_names.upstream(objects.require_str(block.fields, "name"))
        function = {"name": name, "arguments": _arguments(block.fields.get("input"))}
        call: dict[str, Any] = {"id": self.ids[block.call_id], "type": "function", "function": function}
        if carriers.calls:
            call.update(carriers.calls.get(own_part(block.call_id), {}))
        # Of parallel calls Gemini signs the first one only.
        elif draft.dialect.call_signatures == "google":
            call.update(_GOOGLES_PLACEHOLDER)
        return call

    def _thought(self, block: Block) -> list[Raw]:
        content.report_unknown_fields(self._draft, block)
        if not self._draft.dialect.reasoning_field:
            self._draft.dropped.add(content.PLACE + "thinking")
        thought = objects.read_raw_str(block.fields, "thinking")
        return [] if thought is None else [thought]

    def _thinking_field(self, thoughts: list[Raw], *, with_calls: bool) -> Mapping[str, Any]:
        """The field for the server's own reasoning of a turn; none for none."""
        dialect = self._draft.dialect
        if not thoughts and with_calls and dialect.reasoning_scope == "calls":
            # The client did not ask for thinking, or another model wrote the history.
            thoughts = [_NO_REASONING]
        if not thoughts or not dialect.reasoning_field:
            return {}
        return {dialect.reasoning_field: content.join_texts(thoughts, rb"\n")}


def _read_carriers(draft: Draft, thinking: Iterable[Block]) -> Carriers:
    """What the server wants back of the assistant's messages."""
    carriers = Carriers()
    for block in thinking:
        signature = objects.read_str(block.fields.get("signature"))
        if has_carriers(signature):
            found = read_signature(signature, objects.read_str(block.fields.get("thinking")), draft.seal)
            if found is None:
                draft.dropped.add(content.PLACE + "thinking.signature")
            else:
                carriers.add(found)
    return carriers


def _openrouters_placeholder(call_id: str) -> dict[str, Any]:
    """The same as Google's, in OpenRouter's form."""
    kind, format = "reasoning.encrypted", "google-gemini-v1"
    return {"type": kind, "data": "skip_thought_signature_validator", "id": call_id, "format": format, "index": 0}


def _arguments(given: Raw | None) -> str:
    """The input of a call as the text that its arguments are."""
    if given is None:
        return "{}"
    text = objects.compact(given).decode()
    if text[0] == "{":
        return text
    # A model's slip comes back as it was.  Templates of servers want an object: the one that a response without a
    # stream has for such arguments.
    return "{}" if text == "null" else to_json({INVALID_INPUT: text}).decode()
