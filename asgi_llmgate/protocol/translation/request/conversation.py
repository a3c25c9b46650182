"""The conversation as `messages` of a chat request.

The same message always becomes the same bytes, whichever form the client gives it in today, and no message is changed
by a later one.  So what one turn sends is the beginning of what the next turn sends, which model servers' prompt caches
need.  Only what the client itself takes back is gone: a system message with `clear_at`, and the thinking of a tool loop
that is over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from msgspec import Raw

from asgi_llmgate.protocol.messages.blocks import Block, Message
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.translation.request import content, roles
from asgi_llmgate.protocol.translation.request.assistant_messages import MESSAGE_FIELDS, AssistantWriter
from asgi_llmgate.protocol.translation.request.content import Part
from asgi_llmgate.protocol.translation.request.draft import Draft, safe_name
from asgi_llmgate.protocol.translation.request.roles import ChatMessage
from asgi_llmgate.protocol.translation.request.tool_pairs import Turn, split_turns
from asgi_llmgate.protocol.translation.request.tool_search import TOOL_CHANGES

_is_billing_header = re.compile(rb'"x-anthropic-billing-header:').match
"""The beginning of a text that Claude Code puts first into `system`.  It differs in every request, so it would break
prompt caches, and it means nothing to other servers."""

_BLANK_LINE = rb"\n\n"

_NO_OUTPUT = Raw(b'"(no output)"')
_NO_RESULT = Raw(b'"(no result)"')

_TEXT_FIELDS = frozenset({"type", "text"})
_RESULT_FIELDS = content.KNOWN_FIELDS["tool_result"]
_SYSTEM_MESSAGE_FIELDS = frozenset({"role", "content", "clear_at", "output_config"})


def texts_of(draft: Draft, blocks: Sequence[Block], place: str) -> list[Raw]:
    """The texts of system content, without Claude Code's billing header.  `place` is how reports call the content."""
    texts: list[Raw] = []
    for block in blocks:
        if block.type != "text":
            draft.dropped.add(place + safe_name(block.type))
            continue
        if len(block.fields) > len(_TEXT_FIELDS):
            draft.dropped.add_unknown(place, block.fields, _TEXT_FIELDS)
        text = block.fields["text"]
        if not _is_billing_header(text) and not objects.is_blank_str(text):
            texts.append(text)
    return texts


class MessageWriter:
    """Writes the messages of one request, in order, into `written`.  `messages` are the conversation.

    The methods raise InvalidRequest for calls and results that do not match and for sources that cannot be sent.
    """

    def __init__(self, draft: Draft, messages: Sequence[Message]) -> None:
        self._draft = draft
        self._messages = messages
        self._role = draft.dialect.system_role
        # Parts of the next user message.  They wait for more where the server accepts no two user messages in a row.
        self._user_parts: list[Part] = []
        self.written: list[ChatMessage] = []

    def write(self) -> None:
        """Write the whole conversation."""
        turns = split_turns(self._messages, self._draft.dropped, repair=self._draft.format.options.repair_tool_pairs)
        # The last turn that ended without a tool's result: behind it lies the tool loop that is not finished.
        finished = -1
        if self._draft.dialect.reasoning_scope == "tool_loop":
            for number, turn in enumerate(turns):
                if turn.following and not turn.results:
                    finished = number
        assistant = AssistantWriter(self._draft)
        for number, turn in enumerate(turns):
            if turn.assistant:
                messages = assistant.messages(turn, with_thinking=number > finished)
                if messages:
                    if self._user_parts:
                        self._flush_user()
                    self.written.append(messages[0])
                if turn.calls:
                    self._write_results(turn, messages)
                elif self._user_parts:
                    self._add_to_user(())
            for index, message, others in turn.following:
                if message.role != "user":
                    self._add_system(index, message)
                elif others or message.fields or self._user_parts or not turn.results:
                    self._add_user(turn, message, others)
        if self._user_parts:
            self._flush_user()

    @cached_property
    def _last_from_user(self) -> int:
        """The index of the last message of the user that has more in it than results of tools; -1 for none."""
        found = (index for index in reversed(range(len(self._messages))) if _is_from_user(self._messages[index]))
        return next(found, -1)

    def write_system(self, texts: list[Raw]) -> None:
        """Write a system message of some texts, unless there are none."""
        if texts and self._role == "user":
            self._user_parts.append(content.join_texts(texts, _BLANK_LINE))
        elif texts:
            self.written.append({"role": self._role, "content": content.join_texts(texts, _BLANK_LINE)})

    def _add_to_user(self, parts: Sequence[Part]) -> None:
        self._user_parts += parts
        if not self._draft.dialect.alternate_roles:
            self._flush_user()

    def _flush_user(self) -> None:
        parts, self._user_parts = self._user_parts, []
        if not self._draft.dialect.user_after_tool:
            parts = roles.separate_from_results(self.written, parts)
        if not self._draft.dialect.content_parts and parts:
            parts = [content.join_texts(content.texts_in(parts), rb"\n")]  # there are only texts
        if len(parts) == 1 and isinstance(parts[0], Raw):
            self.written.append({"role": "user", "content": parts[0]})
        elif parts:
            listed = [{"type": "text", "text": part} if isinstance(part, Raw) else part for part in parts]
            self.written.append({"role": "user", "content": listed})

    def _add_user(self, turn: Turn, message: Message, others: Sequence[Block]) -> None:
        """A user message; `others` are its blocks without the results of calls, which have been written already."""
        if message.fields:
            self._draft.dropped.add_unknown("messages[].", message.fields, MESSAGE_FIELDS)
        parts = content.content_parts(self._draft, turn, others)
        if not parts and not self._user_parts and roles.is_assistant(self.written):
            parts = [roles.NO_CONTENT]  # without a message of the user the model would continue its own one
        if parts or self._user_parts:
            self._add_to_user(parts)

    def _add_system(self, index: int, message: Message) -> None:
        """A system message in the conversation."""
        self._draft.dropped.add_unknown("messages[].", message.fields, _SYSTEM_MESSAGE_FIELDS)
        until_next = objects.read_str(message.fields.get("clear_at")) == "next_user_message"
        if until_next and index < self._last_from_user:
            return
        blocks = [block for block in message.content if block.type not in TOOL_CHANGES]
        texts = texts_of(self._draft, blocks, content.PLACE)
        if self._draft.dialect.mid_system == "inplace":
            self._flush_user()
            self.write_system(texts)
        elif texts:
            # Claude Code marks reminders in user messages in the same way.
            text = content.join_texts(texts, _BLANK_LINE)
            self._add_to_user([Raw(b'"<system-reminder>\\n%s\\n</system-reminder>"' % bytes(text)[1:-1])])

    def _write_results(self, turn: Turn, messages: Sequence[ChatMessage]) -> None:
        """The `tool` messages of a turn, in the order of the calls; then, as the user's, what they cannot hold.

        `messages` are the assistant's, of which the first is written.
        """
        attached: list[Part] = []
        for number, (call_id, upstream_id) in enumerate(turn.upstream_ids.items()):
            if number and len(messages) > 1:
                self.written.append(messages[number])
            result = turn.results.get(call_id)
            text = _NO_RESULT if result is None else self._result_text(turn, result, attached)
            self.written.append({"role": "tool", "tool_call_id": upstream_id, "content": text})
        if attached:
            self._add_to_user(attached)

    def _result_text(self, turn: Turn, result: Block, attached: list[Part]) -> Raw:
        """The text of a result.  Its images and files go into `attached`, each behind a text that says what it is."""
        if not result.fields.keys() <= _RESULT_FIELDS:
            content.report_unknown_fields(self._draft, result)
        lines: list[Raw] = []
        for part in content.content_parts(self._draft, turn, result.inner):
            if isinstance(part, Raw):
                lines.append(part)
            else:
                name = f"attached {content.kind_of(part)} {len(attached) // 2 + 1}"
                lines.append(content.text_part(f"see {name}"))
                attached += [content.text_part(f"{name}: the output of a tool, not the user's words"), part]
        text = content.join_texts(lines, rb"\n") if lines else _NO_OUTPUT
        # Chat completions have no field for a failed tool.
        failed = "is_error" in result.fields and objects.is_true(result.fields["is_error"])
        return Raw(b'"Error: %s' % memoryview(text)[1:]) if failed else text


def _is_from_user(message: Message) -> bool:
    """Whether a user message has more in it than results of tools."""
    return message.role == "user" and any(block.type != "tool_result" for block in message.content)
