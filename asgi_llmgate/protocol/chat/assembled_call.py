"""One tool call, assembled from its pieces: where its arguments end, and what comes twice.

    phase       the arguments so far
    ----------  --------------------------------------------------------------
    blank       nothing but white space
    open        the beginning of an object
    empty       `{}`: all of the arguments, or a placeholder before them (Bedrock: openai-agents-js#712, ogx#5462)
    complete    an object; what comes now is not part of it
    other       no object: it begins otherwise, or its brackets are closed and it is not JSON

A client is sent the arguments as they come, and nothing that was sent can be taken back.  So only what is `open` or
`complete` is given out (`take`).  The rest waits for the end, where it may turn out to be a placeholder, or something
of which an object can be made.

Text that is sent twice is used once:

- after the object: all of it again (vLLM's last chunk: vllm#51697, vllm#42167, opencodex#361), or something else that
  the server or the model put there;
- inside of it, where no object can begin: all that has come so far, and more.  Some servers send everything so far with
  each chunk (hermes-agent#35592), some the whole at the end, although its last bracket is missing.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from asgi_llmgate.errors import Broken
from asgi_llmgate.protocol.buffer_limit import MAX_CALL_ID, MAX_TOOL_NAME
from asgi_llmgate.protocol.rawjson.brackets import BracketScanner, compact
from asgi_llmgate.protocol.rawjson.near_objects import repair_object
from asgi_llmgate.protocol.rawjson.strings import embedded_object, escape, unescape

Phase: TypeAlias = Literal["blank", "open", "empty", "complete", "other"]

_MAX_SURPLUS = 1024
"""Bytes of what comes after the arguments that are kept beyond the length of the arguments themselves."""


class AssembledCall:
    """One call, as far as it has arrived.

    `number` counts from 1.  `arguments` are in raw form.  `started` is set by the caller when it passes the call on:
    from then on the name is final.  `closed` is set when no more of the call is expected.  `original` is the call that
    this one may repeat, until that is decided.  `repaired`: the arguments were made from what is not JSON.

    Without `keeps_arguments` the arguments are only scanned for their end.
    """

    __slots__ = (
        *(
            "_digest",
            "_keeps_arguments",
            "_lost",
            "_repeats",
            "_scanned",
            "_scanner",
            "_surplus",
            "_taken",
            "arguments",
            "closed",
        ),
        *("id", "name", "number", "original", "phase", "repaired", "started"),
    )

    def __init__(self, number: int, *, keeps_arguments: bool = True) -> None:
        self.number = number
        self.id = ""
        self.name = ""
        self.arguments = bytearray()
        self.phase: Phase = "blank"
        self.started = False
        self.closed = False
        self.repaired = False
        self.original: AssembledCall | None = None
        self._keeps_arguments = keeps_arguments
        self._taken = 0  # bytes of the arguments
        self._scanner = BracketScanner()
        self._scanned = 0  # bytes of the arguments
        self._repeats = False  # pieces begin with everything so far
        self._surplus = bytearray()  # what came after the arguments
        self._lost = False  # some of that was not kept
        self._digest = 0  # of the arguments, once they are no longer kept

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return len(self.arguments) + len(self._surplus)

    def add(self, call_id: str, name: str, arguments: bytes) -> int:
        """Add a piece: by how many bytes `size` grows.  Raises `errors.Broken` for a name or an id that is too long."""
        if call_id and not self.id:
            self.id = call_id
        if name and not self.started and (not self.name or self.phase == "blank"):
            # The next piece of the name; or, where it begins like the name so far, all of it again.
            self.name = name if name.startswith(self.name) else self.name + name
            if not self._keeps_arguments:
                self.name = self.name[:MAX_TOOL_NAME]
        if len(self.name) > MAX_TOOL_NAME or len(self.id) > MAX_CALL_ID:
            raise Broken(
                "the model server sent a tool call whose name is over "
                f"{MAX_TOOL_NAME} characters, or its id over {MAX_CALL_ID}"
            )
        if not arguments:
            return 0
        before = len(self.arguments) + len(self._surplus)
        self._add_arguments(arguments)
        return len(self.arguments) + len(self._surplus) - before

    def _add_arguments(self, piece: bytes) -> None:
        if self.phase == "open":
            if piece.startswith(b"{"):
                piece = self._without_repetition(piece)
        elif self.phase == "complete":
            self._add_surplus(piece)
            return
        elif self.phase in ("blank", "empty"):
            first = unescape(piece).lstrip()[:1]
            if self.phase == "empty" and first:
                if first != "{":
                    self.phase = "complete"
                    self._add_surplus(piece)
                    return
                piece = self._restart(piece)
            elif piece == b"null":
                return
            if first:
                self.phase = "open" if first == "{" else "other"
        self.arguments += piece
        if not self._keeps_arguments:
            self._scan_only()
        elif self.phase == "open" and b"}" in piece:
            self._find_end(piece)

    def _restart(self, piece: bytes) -> bytes:
        """Take a new object in place of an empty one; of which the first bracket may have been passed on."""
        del self.arguments[self._taken :]
        self._scanner = BracketScanner()
        self._scanned = self._digest = 0
        return escape(unescape(piece).lstrip()[1:]) if self._taken else piece

    def _scan(self) -> tuple[str, int]:
        """Scan what is new: its text, and where in it the object ends, or -1."""
        new = unescape(bytes(memoryview(self.arguments)[self._scanned :]))
        self._scanned = len(self.arguments)
        return new, self._scanner.feed(new)

    def _scan_only(self) -> None:
        if self.phase == "open" and self._scan()[1] >= 0:
            self.phase = "complete"
        self.arguments.clear()
        self._scanned = 0

    def _find_end(self, piece: bytes) -> None:
        """Find out whether the object ends in the last piece."""
        # Nearly always the first piece is all of it, or there is no bracket in it: then none have to be counted.
        if len(self.arguments) == len(piece) and (whole := embedded_object(piece)) is not None:
            self.phase = "complete" if whole[1:-1].strip() else "empty"
            return
        new, end = self._scan()
        if end < 0:
            return
        rest = new[end:].strip()
        kept = piece
        if rest:
            text = unescape(piece)
            kept = escape(text[: max(0, len(text) - len(new[end:]))])
        found = embedded_object(bytes(memoryview(self.arguments)[: len(self.arguments) - len(piece)]) + kept)
        if found is None:
            self.phase = "other"
            return
        self.arguments[len(self.arguments) - len(piece) :] = kept
        self.phase = "complete" if found[1:-1].strip() else "empty"
        if rest:
            self._add_arguments(escape(rest))

    def _without_repetition(self, piece: bytes) -> bytes:
        """What is new in a piece that may begin with everything so far."""
        if self._scanned < len(self.arguments):
            self._scan()
        # The comparison costs as much as the piece is long, since more than twice its length is not compared.
        if (self._scanner.takes_value and not self._repeats) or len(self.arguments) > 2 * len(piece) + _MAX_SURPLUS:
            return piece
        before, text = unescape(bytes(self.arguments)), unescape(piece)
        if not text.startswith(before):
            before, text = compact(before), compact(text)
        if not text.startswith(before):
            return piece
        self._repeats = True
        return escape(text[len(before) :])

    def _add_surplus(self, piece: bytes) -> None:
        if not self._keeps_arguments or (not self._surplus and not unescape(piece).strip()):
            return
        if len(self._surplus) + len(piece) > len(self.arguments) + _MAX_SURPLUS:
            self._lost = self._lost or bool(unescape(piece).strip() and not self.is_same(piece))
        elif self._surplus or not self.is_same(piece):
            self._surplus += piece

    def take(self) -> bytes:
        """The arguments that have come since the last call of this method; nothing while they may be replaced."""
        if self.phase == "empty" or (not self._taken and self.phase not in ("open", "complete")):
            return b""
        new = bytes(memoryview(self.arguments)[self._taken :])
        self._taken = len(self.arguments)
        return new

    def take_rest(self) -> bytes:
        """What is left of the arguments, whatever they are."""
        new = bytes(memoryview(self.arguments)[self._taken :])
        self._taken = len(self.arguments)
        return new

    def is_complete(self) -> bool:
        """Whether the arguments are a JSON object from end to end, and final."""
        return self.phase == "complete"

    def has_ended(self) -> bool:
        """Whether the arguments are a JSON object from end to end.  `{}` may still be replaced."""
        return self.phase in ("complete", "empty")

    def is_same(self, arguments: bytes) -> bool:
        """Whether the arguments are these, whatever white space there is between their parts."""
        return self._keeps_arguments and hash(compact(unescape(arguments).strip())) == self.digest()

    def digest(self) -> int:
        """A number that calls with the same arguments have in common.  The call must have ended."""
        if not self._digest:
            self._digest = hash(compact(unescape(bytes(self.arguments)).strip()))
        return self._digest

    def begins(self, arguments: bytes) -> bool:
        """Whether these are the arguments so far, or the beginning of them."""
        return compact(unescape(bytes(self.arguments))).startswith(compact(unescape(arguments)))

    def complete_with(self, other: AssembledCall) -> None:
        """Add what another call has beyond the arguments so far, which it begins with."""
        before, whole = (compact(unescape(bytes(call.arguments))) for call in (self, other))
        self._add_arguments(escape(whole[len(before) :]))

    def has_lost_text(self) -> bool:
        """Whether something came after the arguments that is neither white space nor the arguments again."""
        return self._lost or bool(self._surplus.strip() and not self.is_same(bytes(self._surplus)))

    def finish(self) -> None:
        """No more arguments will come: no arguments become an empty object, and what is not JSON an object, if there
        is one in it (see `near_objects`)."""
        if self.phase == "blank":
            self.arguments[:] = b"{}"
        elif self.phase == "open":
            if embedded_object(bytes(self.arguments)) is None:
                return
        elif self.phase == "other":
            found = None if self._taken else repair_object(unescape(bytes(self.arguments)))
            if found is None:
                return
            self.arguments[:] = escape(found)
            self.repaired = True
        self.phase = "complete"

    def close(self) -> None:
        """The arguments are no longer needed."""
        self.digest()
        self.closed = True
        self.arguments.clear()
