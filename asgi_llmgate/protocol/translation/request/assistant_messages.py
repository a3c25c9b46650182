"""The assistant's messages of one turn, as messages of a chat request.

Messages of the assistant that follow each other become one: their texts, their calls, and what the server requires of
its own response (`translation.carriers`, and its reasoning).  Where the server accepts one call per message, each
further call gets a message of its own, behind the result of the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Raw

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


class AssistantWriter:
    """Writes the assistant's messages of one conversation, turn by turn."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._ids = UpstreamIds(draft.dialect.call_ids)

    def messages(self, turn: Turn, *, with_thinking: bool) -> list[ChatMessage]:
        """The message of a turn, and those that its further calls have of their own, if they have.

        None of them for a turn without text and calls: servers refuse such a message, and the model does not miss it.
        """
        draft, dialect = self._draft, self._draft.dialect
        for _, message in turn.assistant:
            if message.fields:
                draft.dropped.add_unknown("messages[].", message.fields, MESSAGE_FIELDS)
        parts = content.content_parts(draft, turn, turn.said)
        texts = [part for part in parts if isinstance(part, Raw)]
        if len(texts) < len(parts):  # an assistant message of chat completions holds no images
            draft.dropped.add(content.PLACE + "image")
        carriers, thoughts = _NO_CARRIERS, []
        if turn.thinking:
            carriers = _read_carriers(draft, turn.thinking)
            thoughts = [thought for block in turn.thinking for thought in self._thought(block)]
        calls = self._calls(turn, carriers) if turn.calls else []
        if not (texts or calls):
            return []
        keeps_thinking = with_thinking and dialect.reasoning_field
        more = self._thinking_field(thoughts, with_calls=bool(calls)) if keeps_thinking else {}
        if carriers is not _NO_CARRIERS:
            more = {**more, **carriers.message_fields()}
        if calls and not carriers.lists and dialect.call_signatures == "openrouter":
            more = {**more, "reasoning_details": [_openrouters_placeholder(call["id"]) for call in calls]}
        if len(calls) > 1 and not dialect.calls_at_once:
            later = self._thinking_field([], with_calls=True)
            first, *others = calls
            return [self._message(texts, [first], more), *(self._message([], [call], later) for call in others)]
        return [self._message(texts, calls, more)]

    def _message(self, texts: list[Raw], calls: list[dict[str, Any]], more: Mapping[str, Any]) -> ChatMessage:
        if texts:
            message = {"role": "assistant", "content": content.join_texts(texts, rb"\n"), **more}
        else:
            message = {"role": "assistant", **roles.EMPTY_CONTENT[self._draft.dialect.empty_content], **more}
        if calls:
            message["tool_calls"] = calls
        return message

    def _calls(self, turn: Turn, carriers: Carriers) -> list[dict[str, Any]]:
        """The calls of a turn; their ids there go into `turn.upstream_ids`."""
        draft = self._draft
        self._ids.next_turn()
        calls = []
        for call_id, block in turn.calls.items():
            if not block.fields.keys() <= _CALL_FIELDS:
                content.report_unknown_fields(draft, block)
            name = draft.tool_names[objects.require_str(block.fields, "name")]
            own = carriers.ids.get(own_part(call_id)) if carriers.ids else None
            if not own and call_id.startswith(PREFIX):
                own = read_call_id(call_id, name)
            upstream_id = turn.upstream_ids[call_id] = self._ids.of_call(call_id, own)
            function = {"name": name, "arguments": _arguments(block.fields.get("input"))}
            call: dict[str, Any] = {"id": upstream_id, "type": "function", "function": function}
            if carriers.calls:
                call.update(carriers.calls.get(own_part(call_id), {}))
            # Of parallel calls Gemini signs the first one only.
            elif draft.dialect.call_signatures == "google":
                call.update(_GOOGLES_PLACEHOLDER)
            calls.append(call)
        return calls

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
    carriers = _NO_CARRIERS
    for block in thinking:
        signature = objects.read_str(block.fields.get("signature"))
        if has_carriers(signature):
            found = read_signature(signature, objects.read_str(block.fields.get("thinking")), draft.seal)
            if found is None:
                draft.dropped.add(content.PLACE + "thinking.signature")
            elif carriers is _NO_CARRIERS:
                carriers = found
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
