"""The conversation as `messages` of a chat request.

The same message always becomes the same bytes, whichever form the client gives it in today, and no message is changed
by a later one.  So what one turn sends is the beginning of what the next turn sends, which model servers' prompt caches
need.  Only what the client itself takes back is gone: a system message with `clear_at`, and the thinking of a tool loop
that is over.
"""

from __future__ import annotations

from collections.abc import Sequence

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.blocks import Block, Message
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.translation.call_ids import UpstreamIds
from asgi_llmgate.protocol.translation.request import content, roles
from asgi_llmgate.protocol.translation.request.assistant_messages import MESSAGE_FIELDS, AssistantTurn
from asgi_llmgate.protocol.translation.request.draft import Draft, safe_name
from asgi_llmgate.protocol.translation.request.tool_pairs import Turn, split_turns
from asgi_llmgate.protocol.translation.request.tool_search import TOOL_CHANGES

BILLING_HEADER = b'"x-anthropic-billing-header:'
"""The beginning of a text that Claude Code puts first into `system`.  It differs in every request, so it would break
prompt caches, and it means nothing to other servers."""

_BLANK_LINE = rb"\n\n"

_TEXT_FIELDS = frozenset({"type", "text"})
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
                assistant = AssistantTurn(self._draft, turn, self._ids)
                if written := assistant.message(with_thinking=number > finished):
                    self._flush_user()
                    self.written.append(written)
                self._write_results(turn, assistant)
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

    def _add_user(self, turn: Turn, message: Message) -> None:
        """A user message without the results of this turn's calls, which have been written already."""
        self._draft.dropped.add_unknown("messages[].", message.fields, MESSAGE_FIELDS)
        own = [block for block in message.content if not turn.is_result(block)]
        parts = [part for block in own for part in content.parts_of_turn(self._draft, turn, block)]
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

    def _write_results(self, turn: Turn, assistant: AssistantTurn) -> None:
        """The `tool` messages of a turn, in the order of the calls; then, as the user's, what they cannot hold."""
        attached: list[bytes] = []
        for number, call_id in enumerate(turn.calls):
            if call := assistant.later_message(number):
                self.written.append(call)
            result = turn.results.get(call_id)
            text = b'"(no result)"' if result is None else self._result(turn, result, attached)
            self.written.append(b'{"role":"tool","tool_call_id":%s,"content":%s}' % (assistant.ids[call_id], text))
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
