"""Tool calls that arrive in pieces, and whose piece is whose.

OpenAI numbers parallel calls with `index`, sends `id` and `name` with a call's first piece and then only arguments.
What servers make of that:

- no `index`: the id tells; without an id too, the piece belongs to the last call;
- a different id at the same index: a new call (Gemini's endpoint numbers every call 0);
- the same id and name on every piece: still one call;
- no ids, or one id for all: a name that comes with arguments after a call is whole starts the next one;
- a name after the arguments, or in pieces: waited for;
- `null` for no arguments.
"""

from __future__ import annotations

from asgi_llmgate.errors import Broken
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.messages.events import Emitter
from asgi_llmgate.protocol.rawjson.brackets import BracketScanner
from asgi_llmgate.protocol.rawjson.strings import embedded_object, escape, unescape
from asgi_llmgate.protocol.translation.response_plan import ResponsePlan

MOST = 1024
"""Calls that one answer may hold."""

CALL = 1024
"""Bytes that a call takes beside its id and its arguments."""

LONGEST_NAME = 256
"""Characters of a tool's name; Anthropic allows 128 in a request, OpenAI 64."""

LONGEST_ID = 64 * 1024
"""Characters of a call's id.  LiteLLM and agentgateway put Gemini's thought signatures into it, which are kilobytes."""


class Call:
    """One call as far as it is known.  `number` counts from 1, `arguments` are raw characters, `opened` and `closed`
    say whether its block has begun and ended.  Without `keeps` the arguments are only looked at."""

    __slots__ = (
        *("_keeps", "_scanned", "_scanner", "_told", "_whole"),
        *("arguments", "closed", "id", "name", "number", "opened"),
    )

    def __init__(self, number: int, *, keeps: bool = True) -> None:
        self.number = number
        self.id = ""
        self.name = ""
        self.arguments = bytearray()
        self.opened = False
        self.closed = False
        self._keeps = keeps
        self._told = 0
        self._scanner = BracketScanner()
        self._scanned = 0
        self._whole: bool | None = None  # None until every bracket is closed

    def add(self, call_id: str, name: str, arguments: bytes) -> None:
        """Raises `errors.Broken` for a name or an id of absurd length."""
        self.id = self.id or call_id
        if name and not self.opened:
            if not name.startswith(self.name):  # the next piece of it; else the same again, or all of it so far
                name = self.name + name
            self.name = name
        if not self._keeps:
            self.name = self.name[:LONGEST_NAME]
        if len(self.name) > LONGEST_NAME or len(self.id) > LONGEST_ID:
            raise Broken(
                "the model server sent a tool call whose name is over "
                f"{LONGEST_NAME} characters, or its id over {LONGEST_ID}"
            )
        if not arguments or (arguments == b"null" and not self.arguments):
            return
        if self._keeps:
            self.arguments += arguments
        elif self._whole is None and self._scanner.feed(unescape(arguments)):
            self._whole = True

    def take(self) -> bytes:
        """The arguments that have not been told yet."""
        fresh = bytes(memoryview(self.arguments)[self._told :])
        self._told = len(self.arguments)
        return fresh

    def is_blank(self) -> bool:
        return not unescape(bytes(self.arguments)).strip()

    def is_whole(self) -> bool:
        """Whether the arguments are a JSON object from end to end.  However often it is asked, each character is
        looked at once, and the object is read once."""
        if self._scanned < len(self.arguments):
            fresh = unescape(bytes(memoryview(self.arguments)[self._scanned :]))
            self._scanned = len(self.arguments)
            if self._whole is not None:
                self._whole = self._whole and not fresh.strip()  # nothing may follow
            elif self._scanner.feed(fresh):
                self._whole = self._is_object()
        return self._whole is True

    def has_just_become_whole(self) -> bool:
        """The same, asked after every piece: most of them cannot be the last, and then nothing is read."""
        return self.arguments.endswith(b"}") and self.is_whole()

    def ends_whole(self) -> bool:
        """The same, when nothing more will come."""
        return self._is_object() if self._whole is None else self.is_whole()

    def _is_object(self) -> bool:
        return embedded_object(bytes(self.arguments)) is not None

    def quote(self) -> bytes:
        """The call as raw text, for when it cannot be told as a call."""
        return escape(f"[tool call {self.name}: ") + bytes(self.arguments) + b"]"


class Calls:
    """The calls of one answer.  `size` is the bytes of all their arguments, `told` how many have been told as calls,
    `reported` what had to be changed in them.  Without `retained` nobody will be told, and no arguments are kept."""

    __slots__ = ("_by_id", "_by_index", "_ids", "_last", "_number", "_plan", "_retained", "reported", "size", "told")

    def __init__(self, plan: ResponsePlan, retained: BufferLimit | None) -> None:
        self.size = 0
        self.told: list[str] = []
        self.reported: list[str] = []
        self._plan = plan
        self._retained = retained
        self._by_index: dict[int, Call] = {}
        self._by_id: dict[str, Call] = {}
        self._last: Call | None = None
        self._number = 0
        self._ids: set[str] = set()

    def place(self, index: int | None, call_id: str, name: str, arguments: bytes) -> tuple[Call, bool]:
        """The call that a piece belongs to, with the piece added, and whether it is a new one.

        Raises `errors.Broken` when there are more calls than any model makes, or more of them than can be kept.
        """
        self.size += len(arguments)
        call = self._last if not call_id else self._by_id.get(call_id)
        if index is not None:
            call = self._by_index.get(index)
        new = call is None or _starts_another(call, call_id, name, arguments)
        if call is None or new:
            call = self._last = self._new(call_id)
        if index is not None:
            self._by_index[index] = call
        if call_id:
            self._by_id[call_id] = call
        if self._retained is not None:
            self._retained.add(len(arguments))
        call.add(call_id, name, arguments)
        return call, new

    def tell(self, call: Call, out: Emitter) -> None:
        """Pass on what is new of a call, if it can be told yet: when it has a name and the first of its arguments."""
        if not call.name or not call.arguments:
            return
        if not call.opened:
            call.opened = True
            name = self._plan.names.get(call.name, call.name)
            self.told.append(name)
            out.tool_open(self._shown_id(call), name)
        if arguments := call.take():
            out.json(arguments)

    def settle(self, call: Call, out: Emitter, *, cut: bool) -> None:
        """Tell the rest of a call and end its block.  `cut`: the server stopped the model, so half a call is no
        mistake.

        Raises `errors.Broken` where half a call could be taken for a whole one.
        """
        if not call.name:
            if not cut:
                raise Broken("the model server sent a tool call without a name")
            self.reported.append("tool_calls.name")
            return
        if call.is_blank():
            call.arguments += b"{}"
        self.tell(call, out)
        if cut or call.ends_whole():
            out.close()
        elif out.retract(call.quote()):
            self.told.pop()
            self.reported.append("tool_calls.arguments")
        else:
            raise Broken("the model called a tool with arguments that are not a JSON object")

    def close(self, call: Call) -> None:
        """The block of a call has ended: its arguments are wanted no more."""
        assert self._retained is not None
        call.closed = True
        self._retained.release(len(call.arguments))
        call.arguments.clear()

    def _new(self, call_id: str) -> Call:
        self._number += 1
        if self._number > MOST:
            raise Broken(f"the model server sent more than {MOST} tool calls")
        if self._retained is not None:
            self._retained.add(CALL + len(call_id))
        return Call(self._number, keeps=self._retained is not None)

    def _shown_id(self, call: Call) -> str:
        """The call's own id; one of ours when it has none, or another call of this answer had it first."""
        shown = call.id
        if not shown or shown in self._ids:
            shown = f"toolu_{self._plan.message_id.removeprefix('msg_')}_{call.number}"
        self._ids.add(shown)
        return shown


def _starts_another(call: Call, call_id: str, name: str, arguments: bytes) -> bool:
    if call_id and call.id and call_id != call.id:
        return True
    return bool(name) and arguments.startswith(b"{") and call.is_whole()
