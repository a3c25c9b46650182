"""Decisions that are made once for each token: those of a policy that reads the caller and the target alone.

They are kept in `Identity.cache`, so they end with what they were made from: when the token expires, when its
provider's keys change, or with the settings.  Only what lets a request pass is kept.  A denial may hold an error, and
with its traceback the request; it is worked out each time.

In other policies the rules that read the caller alone are kept one by one (compiled_rules.py), also without an error.
"""

from __future__ import annotations

from typing import NamedTuple

from asgi_llmgate.exchange_values import Decision, Target

SIZE = 16
"""Decisions about calls that are kept for one token.  A client uses two or three models, and names may be made up."""


class Allowed(NamedTuple):
    """The decision about a call with these candidates, and those of them that the rules leave."""

    candidates: tuple[Target, ...]
    left: tuple[Target, ...]
    decision: Decision


class CallerDecisions:
    """The decisions about one caller.  `before_body`: the caller passes before the body is read."""

    __slots__ = ("_allowed", "before_body")

    def __init__(self) -> None:
        self.before_body = False
        self._allowed: dict[int, Allowed] = {}

    # By the identity of the tuple, which the model table makes once for each name.  Equal targets may have different
    # prices, so one cannot take the other's place.  An id is not used again while the entry holds the tuple.

    def find(self, candidates: tuple[Target, ...]) -> Allowed | None:
        """What is kept for a call with these candidates."""
        return self._allowed.get(id(candidates))

    def keep(self, allowed: Allowed) -> None:
        if len(self._allowed) >= SIZE:
            self._allowed.clear()
        self._allowed[id(allowed.candidates)] = allowed
