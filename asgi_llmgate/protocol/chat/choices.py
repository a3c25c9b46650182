"""Which choices of a response are the one that was asked for.

OpenAI's `index` numbers alternatives, of which a request with `n: 1` gets one.  Servers use it otherwise: Foundry Local
counts chunks with it (0, 1, 2 ...: foundry-local#263), TGI and others begin at 1.  So whatever index comes first is the
one, and so are all that count on from it, one per chunk.  Without an index every choice counts: GitHub Copilot puts the
text into one and the tool calls into another.

A server that sends several alternatives although it was asked for one sends them in one chunk, one after the other, or
in turn.  Then the first with content counts.  Where a second index may count chunks, the next chunk decides; until
then its choice waits.
"""

from __future__ import annotations

from asgi_llmgate.protocol.chat.chunks import Choice

_UNDECIDED = -1


class ChoiceSelector:
    """Selects the choices of one response.

    `index` is that of the choice that counts; None before the first chunk.  `ignored`: there was another one.
    """

    __slots__ = ("_first", "_is_counting", "_waiting", "ignored", "index")

    def __init__(self) -> None:
        self.index: int | None = None
        self.ignored = False
        self._first = 0  # the choice that counts, while another one waits
        self._waiting: Choice | None = None
        self._is_counting = False

    def select(self, choice: Choice, *, several: bool, has_content: bool, has_ended: bool) -> list[Choice]:
        """The choices to read now: none, this one, or one that has waited and this one.

        Needs to be called for choices whose index is not `index`.  `several`: its chunk has further choices.
        `has_content` and `has_ended` say how far the response has come.
        """
        index = choice.index
        if index is None:
            return [*self.rest(), choice]
        if self._waiting is not None:
            return self._decide(self._waiting, choice, index)
        if self.index is None or self._is_counting or not has_content:
            self.index = index
            return [choice]
        if several or has_ended or self.ignored or index != self.index + 1:
            self.ignored = True
            return []
        self._first, self.index, self._waiting = self.index, _UNDECIDED, choice
        return []

    def _decide(self, waiting: Choice, choice: Choice, index: int) -> list[Choice]:
        self._waiting = None
        if index == self._first + 2:
            self._is_counting = True
            self.index = index
            return [waiting, choice]
        self.ignored = True
        self.index = self._first
        return [choice] if index == self._first else []

    def rest(self) -> list[Choice]:
        """The choice that has waited, when no further chunk decides."""
        if self._waiting is None:
            return []
        waiting, self._waiting = self._waiting, None
        self.index = waiting.index
        return [waiting]
