"""The conversation as `messages` of a chat request.

The same message always becomes the same bytes, whichever form the client gives it in today, and no message is changed
by a later one.  So what one turn sends is the beginning of what the next turn sends, which model servers' prompt caches
need.  Only what the client itself takes back is gone: a system message with `clear_at`, and the thinking of a tool loop
that is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.blocks import Block, Message
from asgi_llmgate.protocol.messages.events import INVALID_INPUT
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.translation.call_ids import UpstreamIds, own_part, read_call_id
from asgi_llmgate.protocol.translation.carriers import Carriers, has_carriers, read_signature
from asgi_llmgate.protocol.translation.request import content, roles
from asgi_llmgate.protocol.translation.request.draft import Draft, safe_name
from asgi_llmgate.protocol.translation.request.tool_pairs import Turn, split_turns
from asgi_llmgate.protocol.translation.request.tool_search import TOOL_CHANGES

BILLING_HEADER = b'"x-anthropic-billing-header:'
"""The beginning of a text that Claude Code puts first into `system`.  It differs in every request, so it would break
prompt caches, and it means nothing to other servers."""

_BLANK_LINE = rb"\n\n"

_GOOGLES_PLACEHOLDER = b',"extra_content":{"google":{"thought_signature":"skip_thought_signature_validator"}}'
"""In place of the signature of a call, for Gemini: https://ai.google.dev/gemini-api/docs/thought-signatures#faqs."""

_OPENROUTERS_PLACEHOLDER = (
    b'{"type":"reasoning.encrypted","data":"skip_thought_signature_validator","id":%s,"format":"google-gemini-v1",'
    b'"index":0}'
)
"""The same for OpenRouter, with the id of the call."""

_TEXT_FIELDS = frozenset({"type", "text"})
_MESSAGE_FIELDS = frozenset({"role", "content"})
_SYSTEM_MESSAGE_FIELDS = frozenset({"role", "content", "clear_at", "output_config"})


def system_texts(draft: Draft) -> list[bytes]:
    """The texts of `system`, as JSON, without Claude Code's billing header."""
    return _texts_of(draft, draft.request.system, "system[].")


def _texts_of(draft: Draft, blocks: Sequence[Block], place: str) -> list[bytes]:
    texts = []
    for block in blocks:
        if block.type != "text":
            draft.dropped.add(place + safe_name(block.type))
            continue
        draft.dropped.add_unknown(place, block.fields, _TEXT_FIELDS)
        text = bytes(block.fields["text"])
        if not text.startswith(BILLING_HEADER) and not objects.is_blank_str(text):
            texts.append(text)
    return texts


class MessageWriter:
    """Writes the messages of one request, in order, into `written`, each as JSON.

    Its methods raise InvalidRequest for calls and results that do not match and for sources that cannot be sent.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._role = draft.dialect.system_role.encode()
        self._ids = UpstreamIds(draft.dialect.call_ids)
        # Parts of the next user message.  They wait for more where the server accepts no two user messages in a row.
        self._user_parts: list[bytes] = []
        # Calls of the last message of the assistant that get messages of their own, behind the results before them.
        self._later_calls: list[bytes] = []
        self.written: list[bytes] = []

    def write(self, messages: Sequence[Message]) -> None:
        """Write the whole conversation."""
        turns = split_turns(messages, self._draft.dropped, repair=self._draft.options.repair_tool_pairs)
        last_user = max((index for index, message in enumerate(messages) if _is_from_user(message)), default=-1)
        # The last turn that ended without a tool's result: behind it lies the tool loop that is not finished.
        finished = max((number for number, turn in enumerate(turns) if turn.following and not turn.results), default=-1)
        if self._draft.dialect.reasoning_scope == "calls":
            finished = -1
        for number, turn in enumerate(turns):
            if turn.assistant:
                carriers = self._carriers_of(turn)
                ids = self._ids_of(turn, carriers)
                self._write_assistant(turn, ids, carriers, with_thinking=number > finished)
                self._write_results(turn, ids)
            for index, message in turn.following:
                if message.role == "user":
                    self._add_user(turn, message)
                else:
                    self._add_system(message, is_latest=index > last_user)
        self._flush_user()

    def write_system(self, texts: list[bytes]) -> None:
        """Write a system message of some texts, unless there are none."""
        if texts and self._role == b"user":
            self._user_parts.append(objects.join_strs(texts, _BLANK_LINE))
        elif texts:
            self.written.append(b'{"role":"%s","content":%s}' % (self._role, objects.join_strs(texts, _BLANK_LINE)))

    def _add_to_user(self, parts: list[bytes]) -> None:
        self._user_parts += parts
        if not self._draft.dialect.alternate_roles:
            self._flush_user()

    def _flush_user(self) -> None:
        parts, self._user_parts = self._user_parts, []
        if not self._draft.dialect.user_after_tool:
            parts = roles.separate_from_results(self.written, parts)
        if not self._draft.dialect.content_parts and parts:
            parts = [objects.join_strs(parts, rb"\n")]
        if len(parts) == 1 and content.is_text(parts[0]):
            self.written.append(b'{"role":"user","content":%s}' % parts[0])
        elif parts:
            self.written.append(b'{"role":"user","content":[%s]}' % b",".join(map(content.as_object, parts)))

    def _parts_of(self, turn: Turn, block: Block) -> list[bytes]:
        try:
            return content.content_parts(self._draft, block)
        except InvalidRequest as wrong:
            raise wrong.at(turn.place_of(block)) from None

    def _add_user(self, turn: Turn, message: Message) -> None:
        """A user message without the results of this turn's calls, which have been written already."""
        self._draft.dropped.add_unknown("messages[].", message.fields, _MESSAGE_FIELDS)
        own = [block for block in message.content if not turn.is_result(block)]
        parts = [part for block in own for part in self._parts_of(turn, block)]
        if not parts and not self._user_parts and roles.is_assistant(self.written):
            parts = [roles.NO_CONTENT]  # without a message of the user the model would continue its own one
        self._add_to_user(parts)

    def _add_system(self, message: Message, *, is_latest: bool) -> None:
        """A system message in the conversation.  `is_latest`: no user message with content of its own follows it."""
        self._draft.dropped.add_unknown("messages[].", message.fields, _SYSTEM_MESSAGE_FIELDS)
        if not is_latest and objects.read_str(message.fields.get("clear_at")) == "next_user_message":
            return
        blocks = [block for block in message.content if block.type not in TOOL_CHANGES]
        texts = _texts_of(self._draft, blocks, content.PLACE)
        if self._draft.dialect.mid_system == "inplace":
            self._flush_user()
            self.write_system(texts)
        elif texts:
            # Claude Code marks reminders in user messages in the same way.
            text = objects.join_strs(texts, _BLANK_LINE)
            self._add_to_user([b'"<system-reminder>\\n%s\\n</system-reminder>"' % bytes(text)[1:-1]])

    def _carriers_of(self, turn: Turn) -> Carriers:
        """What the server wants back of the assistant's messages of a turn."""
        carriers = Carriers()
        for _, message in turn.assistant:
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

    def _ids_of(self, turn: Turn, carriers: Carriers) -> dict[str, bytes]:
        """The server's ids of a turn's calls, as JSON, by the client's."""
        ids = self._ids.of_turn(
            (call_id, carriers.ids.get(own_part(call_id)) or read_call_id(call_id, self._name_of(call)))
            for call_id, call in turn.calls.items()
        )
        return {call_id: to_json(upstream_id) for call_id, upstream_id in ids.items()}

    def _name_of(self, call: Block) -> str:
        return self._draft.tool_names.upstream(objects.require_str(call.fields, "name"))

    def _write_assistant(
        self, turn: Turn, ids: Mapping[str, bytes], carriers: Carriers, *, with_thinking: bool
    ) -> None:
        """The assistant's messages of a turn, as one message."""
        texts: list[bytes] = []
        thoughts: list[bytes] = []
        calls: list[bytes] = []
        for _, message in turn.assistant:
            self._draft.dropped.add_unknown("messages[].", message.fields, _MESSAGE_FIELDS)
            for block in message.content:
                if block.type == "tool_use":
                    if turn.calls[block.call_id] is block:  # of two calls with one id the first counts
                        calls.append(self._tool_call(block, ids[block.call_id], carriers))
                elif block.type == "thinking":
                    thoughts += self._thought(block)
                else:
                    texts += self._only_texts(self._parts_of(turn, block))
        # A message without text and calls is left out: servers refuse it, and the model does not miss it.
        if texts or calls:
            self._flush_user()
            thinking = self._thinking_field(thoughts, with_calls=bool(calls)) if with_thinking else b""
            thinking += carriers.message_json()
            if calls and not carriers.lists and self._draft.dialect.call_signatures == "openrouter":
                thinking += b',"reasoning_details":[%s]' % b",".join(
                    _OPENROUTERS_PLACEHOLDER % each for each in ids.values()
                )
            self._later_calls = [] if self._draft.dialect.calls_at_once else calls[1:]
            self.written.append(self._assistant_message(texts, calls[: -len(self._later_calls) or None], thinking))

    def _assistant_message(self, texts: list[bytes], calls: list[bytes], thinking: bytes) -> bytes:
        text = objects.join_strs(texts, rb"\n") if texts else roles.EMPTY_CONTENT[self._draft.dialect.empty_content]
        tools = b',"tool_calls":[%s]' % b",".join(calls) if calls else b""
        return b'{"role":"assistant"%s%s%s}' % (b',"content":%s' % text if text else b"", thinking, tools)

    def _tool_call(self, block: Block, call_id: bytes, carriers: Carriers) -> bytes:
        fields = carriers.calls.get(own_part(block.call_id), {})
        more = b"".join(b',"%s":%s' % (name.encode(), value) for name, value in fields.items())
        # Of parallel calls Gemini signs the first one only.
        if not carriers.calls and self._draft.dialect.call_signatures == "google":
            more = _GOOGLES_PLACEHOLDER
        content.report_unknown_fields(self._draft, block)
        return b'{"id":%s,"type":"function","function":{"name":%s,"arguments":%s}%s}' % (
            call_id,
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

    def _write_results(self, turn: Turn, ids: Mapping[str, bytes]) -> None:
        """The `tool` messages of a turn, in the order of the calls; then, as the user's, what they cannot hold."""
        attached: list[bytes] = []
        for number, call_id in enumerate(turn.calls):
            if number and self._later_calls:
                thinking = self._thinking_field([], with_calls=True)
                self.written.append(self._assistant_message([], [self._later_calls[number - 1]], thinking))
            result = turn.results.get(call_id)
            text = b'"(no result)"' if result is None else self._result(turn, result, attached)
            self.written.append(b'{"role":"tool","tool_call_id":%s,"content":%s}' % (ids[call_id], text))
        self._add_to_user(attached)

    def _result(self, turn: Turn, result: Block, attached: list[bytes]) -> bytes:
        try:
            text = self._result_text(result, attached)
        except InvalidRequest as wrong:
            raise wrong.at(turn.place_of(result)) from None
        # Chat completions have no field for a failed tool.
        return b'"Error: %s' % text[1:] if objects.is_true(result.fields.get("is_error")) else text

    def _result_text(self, result: Block, attached: list[bytes]) -> bytes:
        """The text of a result.  Its images and files go into `attached`, each behind a text that says what it is."""
        content.report_unknown_fields(self._draft, result)
        lines: list[bytes] = []
        for part in (part for block in result.inner for part in content.content_parts(self._draft, block)):
            if content.is_text(part):
                lines.append(part)
            else:
                name = f"attached {content.kind_of(part)} {len(attached) // 2 + 1}"
                lines.append(to_json(f"see {name}"))
                attached += [to_json(f"{name}: the output of a tool, not the user's words"), part]
        return bytes(objects.join_strs(lines, rb"\n")) if lines else b'"(no output)"'


def _is_from_user(message: Message) -> bool:
    """Whether a user message has more in it than results of tools."""
    return message.role == "user" and any(block.type != "tool_result" for block in message.content)


def _arguments(given: Raw | None) -> bytes:
    """The input of a call as the JSON string that its arguments are."""
    if given is None:
        return b'"{}"'
    text = objects.compact(given).decode()
    # A model's slip comes back as it was.  Templates of servers want an object: the one that a response without a
    # stream has for such arguments.
    return to_json(text if text[0] == "{" else to_json({INVALID_INPUT: text}).decode())
