"""The conversation -> `messages`.

Whatever form the client gives a message in today, the same message becomes the same bytes, and no message is changed by
one that comes after it: what one turn sends is the beginning of what the next turn sends, which is what the model
servers' prompt caches live on.  Only what the client itself takes back is gone (`clear_at`, the thinking of a tool loop
that is over).
"""

from __future__ import annotations

from collections.abc import Sequence

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.blocks import Block, Message
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.translation import content
from asgi_llmgate.protocol.translation.draft import Draft, named
from asgi_llmgate.protocol.translation.tool_pairs import Turn, turns_of

BILLING = b'"x-anthropic-billing-header:'
"""How the block begins that Claude Code puts first and fills anew for each request."""

_BLANK_LINE = rb"\n\n"
_TEXT = frozenset({"type", "text"})
_MESSAGE = frozenset({"role", "content"})
_SYSTEM_MESSAGE = frozenset({"role", "content", "clear_at", "output_config"})
_TOOL_CHANGES = ("tool_addition", "tool_removal")


def system_texts(draft: Draft) -> list[bytes]:
    """The texts of `system`."""
    return _system_texts(draft, draft.request.system, "system[].")


def _system_texts(draft: Draft, content: Sequence[Block], place: str) -> list[bytes]:
    texts = []
    for block in content:
        if block.type != "text":
            draft.report.add(place + named(block.type))
            continue
        draft.report.unknown(place, block.fields, _TEXT)
        text = bytes(block.fields["text"])
        if not text.startswith(BILLING) and not objects.is_empty_str(text):
            texts.append(text)
    return texts


class History:
    """Writes the messages of one request, in order, into `written`."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._role = draft.dialect.system_role.encode()
        self._unsent: list[bytes] = []
        self.written: list[bytes] = []

    def write(self, messages: Sequence[Message]) -> None:
        turns = turns_of(messages, self._draft.report, repair=self._draft.options.repair_tool_pairs)
        last_word = max((index for index, message in enumerate(messages) if _speaks(message)), default=-1)
        loop = max((number for number, turn in enumerate(turns) if turn.after and not turn.results), default=-1)
        for number, turn in enumerate(turns):
            if turn.said:
                self._assistant(turn, thinking=number > loop)
                self._results(turn)
            for index, message in turn.after:
                if message.role == "user":
                    self._user(turn, message)
                else:
                    self._system(message, is_last_word=index > last_word)
        self._flush()

    def write_system(self, texts: list[bytes]) -> None:
        if texts:
            self.written.append(b'{"role":"%s","content":%s}' % (self._role, objects.join_strs(texts, _BLANK_LINE)))

    def _say(self, parts: list[bytes]) -> None:
        """Say something as the user."""
        self._unsent += parts
        if not self._draft.dialect.alternate_roles:
            self._flush()

    def _flush(self) -> None:
        parts, self._unsent = self._unsent, []
        if len(parts) == 1 and content.is_text(parts[0]):
            self.written.append(b'{"role":"user","content":%s}' % parts[0])
        elif parts:
            self.written.append(b'{"role":"user","content":[%s]}' % b",".join(map(content.as_object, parts)))

    def _parts(self, turn: Turn, block: Block) -> list[bytes]:
        try:
            return content.parts(self._draft, block)
        except InvalidRequest as wrong:
            raise wrong.at(turn.place_of(block)) from None

    def _user(self, turn: Turn, message: Message) -> None:
        self._draft.report.unknown("messages[].", message.fields, _MESSAGE)
        own = [block for block in message.content if not turn.is_result(block)]
        self._say([part for block in own for part in self._parts(turn, block)])

    def _system(self, message: Message, *, is_last_word: bool) -> None:
        self._draft.report.unknown("messages[].", message.fields, _SYSTEM_MESSAGE)
        if not is_last_word and objects.read_str(message.fields.get("clear_at")) == "next_user_message":
            return
        said = [block for block in message.content if block.type not in _TOOL_CHANGES]
        texts = _system_texts(self._draft, said, content.PLACE)
        if self._draft.dialect.mid_system == "inplace":
            self._flush()
            self.write_system(texts)
        elif texts:
            text = objects.join_strs(texts, _BLANK_LINE)
            self._say([b'"<system-reminder>\\n%s\\n</system-reminder>"' % bytes(text)[1:-1]])

    def _assistant(self, turn: Turn, *, thinking: bool) -> None:
        self._flush()
        texts: list[bytes] = []
        thoughts: list[bytes] = []
        calls: list[bytes] = []
        for _, message in turn.said:
            self._draft.report.unknown("messages[].", message.fields, _MESSAGE)
            for block in message.content:
                if block.type == "tool_use":
                    if turn.calls[block.call_id] is block:
                        calls.append(self._call(block))
                elif block.type == "thinking":
                    thoughts += self._thought(block)
                else:
                    texts += self._spoken(self._parts(turn, block))
        if texts or calls or turn.after:  # a last message may be empty: there is nothing to go on with then
            self.written.append(_assistant_message(texts, calls, self._thinking_field(thoughts) if thinking else b""))

    def _call(self, block: Block) -> bytes:
        content.check(self._draft, block)
        arguments = objects.get_raw(block.fields, "input")
        return b'{"id":%s,"type":"function","function":{"name":%s,"arguments":%s}}' % (
            block.fields["id"],
            to_json(self._draft.names.upstream(objects.require_str(block.fields, "name"))),
            b'"{}"' if arguments is None else to_json(objects.compact(arguments).decode()),
        )

    def _thought(self, block: Block) -> list[bytes]:
        content.check(self._draft, block)
        if self._draft.dialect.reasoning_history == "drop":
            self._draft.report.add(content.PLACE + "thinking")
        return [to_json(thought)] if (thought := objects.read_str(block.fields.get("thinking"))) else []

    def _thinking_field(self, thoughts: list[bytes]) -> bytes:
        name = self._draft.dialect.reasoning_history
        if not thoughts or name == "drop":
            return b""
        return b',"%s":%s' % (name.encode(), objects.join_strs(thoughts, rb"\n"))

    def _spoken(self, parts: list[bytes]) -> list[bytes]:
        """An assistant message holds text only."""
        spoken = [part for part in parts if content.is_text(part)]
        if len(spoken) < len(parts):
            self._draft.report.add(content.PLACE + "image")
        return spoken

    def _results(self, turn: Turn) -> None:
        """The tool messages, in the order of the calls, then what they could not hold."""
        attached: list[bytes] = []
        for call, asked in turn.calls.items():
            result = turn.results.get(call)
            text = b'"(no result)"' if result is None else self._result(turn, result, attached)
            self.written.append(b'{"role":"tool","tool_call_id":%s,"content":%s}' % (asked.fields["id"], text))
        self._say(attached)

    def _result(self, turn: Turn, result: Block, attached: list[bytes]) -> bytes:
        try:
            text = self._result_text(result, attached)
        except InvalidRequest as wrong:
            raise wrong.at(turn.place_of(result)) from None
        return b'"Error: %s' % text[1:] if objects.is_true(result.fields.get("is_error")) else text

    def _result_text(self, result: Block, attached: list[bytes]) -> bytes:
        content.check(self._draft, result)
        lines: list[bytes] = []
        for part in (part for block in result.inner for part in content.parts(self._draft, block)):
            if content.is_text(part):
                lines.append(part)
            else:
                name = f"attached {content.kind_of(part)} {len(attached) // 2 + 1}"
                lines.append(to_json(f"see {name}"))
                attached += [to_json(f"{name}: the output of a tool, not the user's words"), part]
        return bytes(objects.join_strs(lines, rb"\n")) if lines else b'"(no output)"'


def _assistant_message(texts: list[bytes], calls: list[bytes], thinking: bytes) -> bytes:
    content = objects.join_strs(texts, rb"\n") if texts else b"null" if calls else b'""'
    tools = b',"tool_calls":[%s]' % b",".join(calls) if calls else b""
    return b'{"role":"assistant","content":%s%s%s}' % (content, thinking, tools)


def _speaks(message: Message) -> bool:
    """Whether a user says something of their own in it, not only a tool."""
    return message.role == "user" and any(block.type != "tool_result" for block in message.content)
