"""Finds out which piece belongs to which tool call.

In OpenAI's format `index` numbers parallel calls; `id` and `name` come with a call's first piece, and then only
arguments.  What servers do:

- no `index`: the id decides; without an id too, the piece belongs to the last call;
- a different id at the same index: a new call (Gemini's endpoint numbers every call 0), if it has a name; without one
  it is the same call, of a server that makes a new id for each chunk (GLM: rig#1508);
- the same id and name on every piece: still one call;
- the same id at another index: the same call (LocalAI#9722), unless its name or its arguments are others
  (xorbitsai/inference#4237);
- no ids, or one id for all: a name after a complete call starts the next one;
- a name after the arguments, or in pieces: the call is named once it is passed on;
- a call that is sent a second time, with its name, in one piece or in many: one call.

Whether a call that begins again is the same one can be seen only when its arguments are complete.  Until then it has an
`original`, and is not passed on.
"""

from __future__ import annotations

from typing import TypeAlias

from asgi_llmgate.errors import Broken
from asgi_llmgate.protocol.buffer_limit import MAX_TOOL_CALLS, BufferLimit
from asgi_llmgate.protocol.chat.assembled_call import AssembledCall

CALL_SIZE = 1024
"""Bytes that a call takes in memory beside its id and its arguments."""

_Owner: TypeAlias = tuple[AssembledCall | None, AssembledCall | None]
"""The call that a piece belongs to, or None for a new one; and the call that a new one may repeat."""

_NEW: _Owner = (None, None)


class ToolCallAssembler:
    """Assembles the calls of one response.  `size` is the bytes of all their arguments.

    `retained` counts what is kept of them; without it the arguments are not kept.
    """

    __slots__ = ("_by_id", "_by_index", "_calls", "_doubted", "_last", "_retained", "size")

    def __init__(self, retained: BufferLimit | None = None) -> None:
        self.size = 0
        self._retained = retained
        self._by_index: dict[int, AssembledCall] = {}
        self._by_id: dict[str, AssembledCall] = {}
        self._last: AssembledCall | None = None
        self._calls: list[AssembledCall] = []
        self._doubted: list[AssembledCall] = []

    def add(self, index: int | None, call_id: str, name: str, arguments: bytes) -> tuple[AssembledCall, bool]:
        """Add a piece to its call: the call, and whether the piece shows that this is a new one.

        Raises `errors.Broken` for more calls than a response may have, or more of them than can be kept.
        """
        self.size += len(arguments)
        original = None
        # A piece without an id and a name, which most pieces are, cannot begin a call.
        if call_id or name:
            call, original = self._owner(index, call_id, name, arguments)
        elif index is None:
            call = self._last
        else:
            call = self._by_index.get(index)
            if call is None and self._last is not None and self._last.phase == "blank":
                call = self._last  # the arguments of a call stand under another index than its name
        is_new = call is None and original is None
        if call is None:
            call = self._last = self._new_call(call_id, original)
            if index is not None:
                self._by_index[index] = call
        elif index is not None and index not in self._by_index:
            self._by_index[index] = call
        kept = call.add(call_id, name, arguments)
        if call_id and call_id == call.id:
            self._by_id[call_id] = call
        if kept and self._retained is not None:
            self._retained.add(kept)
        if call.original is not None and call.has_ended():
            is_new = self._decide(call, call.original)
        return call, is_new

    def settle(self) -> list[AssembledCall]:
        """No more pieces will come: the calls that turn out not to be repetitions of others."""
        found = []
        for call in self._doubted:
            original = call.original
            if original is None or call.closed:
                continue
            is_repetition = (
                call.phase == "blank"
                or (call.phase == "empty" and bool(call.id))  # a placeholder
                or (not original.closed and original.begins(bytes(call.arguments)))
            )
            if not is_repetition and not original.has_ended() and call.begins(bytes(original.arguments)):
                original.complete_with(call)
                is_repetition = True
            if is_repetition:
                self._forget(call, original)
            else:
                call.original = None
                found.append(call)
        return found

    def has_lost_text(self) -> bool:
        """Whether something came after a call's arguments that is neither white space nor the arguments again."""
        return any(call.has_lost_text() for call in self._calls)

    def close(self, call: AssembledCall) -> None:
        """No more of the call is expected, and its arguments are no longer needed."""
        before = call.size
        call.close()
        if self._retained is not None:
            self._retained.release(before - call.size)

    def _owner(self, index: int | None, call_id: str, name: str, arguments: bytes) -> _Owner:
        at = self._last if index is None else self._by_index.get(index)
        known = self._by_id.get(call_id) if call_id else None
        if known is not None:
            if at is not None and at.id == call_id:
                return _same_place(at, name, arguments)  # perhaps one id for all of them
            if index is None:
                return _same_place(known, name, arguments)
            return _other_place(known, name, arguments)
        if at is None:
            return _NEW
        if index is None and name and name != at.name and not at.id:
            return _NEW
        if call_id and at.id:
            begun = name and (name != at.name or not arguments or arguments.startswith(b"{"))
            return _NEW if begun or at.has_ended() else (at, None)
        return _same_place(at, name, arguments)

    def _new_call(self, call_id: str, original: AssembledCall | None) -> AssembledCall:
        if len(self._calls) == MAX_TOOL_CALLS:
            raise Broken(f"the model server sent more than {MAX_TOOL_CALLS} tool calls")
        if self._retained is not None:
            self._retained.add(CALL_SIZE + len(call_id))
        call = AssembledCall(len(self._calls) + 1, keeps_arguments=self._retained is not None)
        self._calls.append(call)
        if original is not None:
            call.original = original
            self._doubted.append(call)
        return call

    def _decide(self, call: AssembledCall, original: AssembledCall) -> bool:
        """Whether a call whose arguments have ended is one of its own."""
        if not original.has_ended() or (call.phase == "empty" and call.id):
            return False
        if call.digest() == original.digest() or self._retained is None:
            self._forget(call, original)
            return False
        call.original = None
        return True

    def _forget(self, call: AssembledCall, original: AssembledCall) -> None:
        """A call was sent a second time: what may still come of it goes to the first."""
        self.close(call)
        for places in (self._by_index, self._by_id):
            for place in [place for place, found in places.items() if found is call]:
                places[place] = original  # type: ignore[index]
        if self._last is call:
            self._last = original


def _same_place(call: AssembledCall, name: str, arguments: bytes) -> _Owner:
    """The owner of a piece at the index or with the id of a call."""
    if not name or not call.has_ended():
        return call, None
    if name != call.name:
        return _NEW
    if call.phase == "empty":
        return (call, None) if call.id or not arguments.startswith(b"{") else _NEW
    if not arguments:
        return None, call
    if not arguments.startswith(b"{") or call.is_same(arguments):
        return call, None
    return None, call


def _other_place(call: AssembledCall, name: str, arguments: bytes) -> _Owner:
    """The owner of a piece with the id of a call, under another index."""
    if not name or call.phase == "blank":
        return call, None
    if name != call.name:
        return _NEW
    if call.phase == "empty" and arguments.startswith(b"{"):
        return call, None
    if not call.has_ended() and arguments and not arguments.startswith(b"{"):
        return call, None
    return None, call
