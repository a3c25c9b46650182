"""Assembles tool calls from the pieces in which they arrive, and finds out which piece belongs to which call.

In OpenAI's format `index` numbers parallel calls; `id` and `name` come with a call's first piece, and then only
arguments.  What servers do:

- no `index`: the id decides; without an id too, the piece belongs to the last call;
- a different id at the same index: a new call (Gemini's endpoint numbers every call 0);
- the same id and name on every piece: still one call;
- no ids, or one id for all: a name that comes with arguments after a complete call starts the next one;
- a name after the arguments, or in pieces: the call is named once it is passed on;
- `null` for no arguments.
"""

from __future__ import annotations

from asgi_llmgate.errors import Broken
from asgi_llmgate.protocol.buffer_limit import MAX_CALL_ID, MAX_TOOL_CALLS, MAX_TOOL_NAME, BufferLimit
from asgi_llmgate.protocol.rawjson.brackets import BracketScanner
from asgi_llmgate.protocol.rawjson.strings import embedded_object, unescape

CALL_SIZE = 1024
"""Bytes that a call takes in memory beside its id and its arguments."""


class AssembledCall:
    """One call, as far as it has arrived.

    `number` counts from 1.  `arguments` are in raw form.  `started` is set by the caller when it passes the call on:
    from then on the name is final.  `closed` is set when no more of the call is expected.  Without `keeps_arguments`
    the arguments are only scanned for their end.
    """

    __slots__ = (
        *("_complete", "_keeps_arguments", "_scanned", "_scanner", "_taken"),
        *("arguments", "closed", "id", "name", "number", "started"),
    )

    def __init__(self, number: int, *, keeps_arguments: bool = True) -> None:
        self.number = number
        self.id = ""
        self.name = ""
        self.arguments = bytearray()
        self.started = False
        self.closed = False
        self._keeps_arguments = keeps_arguments
        self._taken = 0  # bytes of the arguments
        self._scanner = BracketScanner()
        self._scanned = 0  # bytes of the arguments
        self._complete: bool | None = None  # None until every bracket is closed

    def add(self, call_id: str, name: str, arguments: bytes) -> None:
        """Add a piece.  Raises `errors.Broken` for a name or an id that is too long."""
        if call_id and not self.id:
            self.id = call_id
        if name and not self.started:
            # The next piece of the name; or, where it begins like the name so far, all of it again.
            self.name = name if name.startswith(self.name) else self.name + name
            if not self._keeps_arguments:
                self.name = self.name[:MAX_TOOL_NAME]
        if len(self.name) > MAX_TOOL_NAME or len(self.id) > MAX_CALL_ID:
            raise Broken(
                "the model server sent a tool call whose name is over "
                f"{MAX_TOOL_NAME} characters, or its id over {MAX_CALL_ID}"
            )
        if not arguments or (arguments == b"null" and not self.arguments):
            return
        if self._keeps_arguments:
            self.arguments += arguments
        elif self._complete is None and self._scanner.feed(unescape(arguments)):
            self._complete = True

    def take(self) -> bytes:
        """The arguments that have come since the last call of this method."""
        new = bytes(memoryview(self.arguments)[self._taken :])
        self._taken = len(self.arguments)
        return new

    def is_blank(self) -> bool:
        """Whether there are no arguments but white space."""
        return not unescape(bytes(self.arguments)).strip()

    def is_complete(self) -> bool:
        """Whether the arguments are a JSON object from end to end.

        However often this is called, each character is scanned once, and the object is parsed once.
        """
        if self._scanned < len(self.arguments):
            new = unescape(bytes(memoryview(self.arguments)[self._scanned :]))
            self._scanned = len(self.arguments)
            if self._complete is not None:
                self._complete = self._complete and not new.strip()  # only white space may follow
            elif self._scanner.feed(new):
                self._complete = self._is_object()
        return self._complete is True

    def may_be_complete(self) -> bool:
        """`is_complete`, for after every piece: most of them do not end in a bracket, and then nothing is scanned."""
        return self.arguments.endswith(b"}") and self.is_complete()

    def ends_complete(self) -> bool:
        """`is_complete`, when no more arguments will come."""
        return self._is_object() if self._complete is None else self.is_complete()

    def _is_object(self) -> bool:
        return embedded_object(bytes(self.arguments)) is not None


class ToolCallAssembler:
    """Assembles the calls of one response.  `size` is the bytes of all their arguments.

    `retained` counts what is kept of them; without it the arguments are not kept.
    """

    __slots__ = ("_by_id", "_by_index", "_last", "_number", "_retained", "size")

    def __init__(self, retained: BufferLimit | None = None) -> None:
        self.size = 0
        self._retained = retained
        self._by_index: dict[int, AssembledCall] = {}
        self._by_id: dict[str, AssembledCall] = {}
        self._last: AssembledCall | None = None
        self._number = 0

    def add(self, index: int | None, call_id: str, name: str, arguments: bytes) -> tuple[AssembledCall, bool]:
        """Add a piece to its call: the call, and whether the piece is its first.

        Raises `errors.Broken` for more calls than a response may have, or more of them than can be kept.
        """
        self.size += len(arguments)
        call = self._last if not call_id else self._by_id.get(call_id)
        if index is not None:
            call = self._by_index.get(index)
        # A piece without an id and a name, which most pieces are, cannot begin a call.
        is_new = call is None or (bool(call_id or name) and _begins_another(call, call_id, name, arguments))
        if call is None or is_new:
            call = self._last = self._new_call(call_id)
        if index is not None:
            self._by_index[index] = call
        if call_id:
            self._by_id[call_id] = call
        if self._retained is not None:
            self._retained.add(len(arguments))
        call.add(call_id, name, arguments)
        return call, is_new

    def close(self, call: AssembledCall) -> None:
        """No more of the call is expected, and its arguments are no longer needed."""
        call.closed = True
        if self._retained is not None:
            self._retained.release(len(call.arguments))
        call.arguments.clear()

    def _new_call(self, call_id: str) -> AssembledCall:
        self._number += 1
        if self._number > MAX_TOOL_CALLS:
            raise Broken(f"the model server sent more than {MAX_TOOL_CALLS} tool calls")
        if self._retained is not None:
            self._retained.add(CALL_SIZE + len(call_id))
        return AssembledCall(self._number, keeps_arguments=self._retained is not None)


def _begins_another(call: AssembledCall, call_id: str, name: str, arguments: bytes) -> bool:
    if call_id and call.id and call_id != call.id:
        return True
    return bool(name) and arguments.startswith(b"{") and call.is_complete()
