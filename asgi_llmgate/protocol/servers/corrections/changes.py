"""What can be corrected in a request for one server and model, and how several corrections add up.

How two values of a field are merged follows from their type, so that nothing else has to know the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from asgi_llmgate.protocol.servers.columns import Effort
from asgi_llmgate.protocol.servers.errors.quotations import Phrase
from asgi_llmgate.protocol.servers.wordings.capabilities import Capability

_NEVER = 10**9
"""More than a number of an error's text can be: numbers there have at most nine digits."""


class SchemaRewrite(NamedTuple):
    """One rewrite (`schemas.rewrites`) of one tool's schema; `where` says which (`tool_schemas`)."""

    where: str
    name: str


ToolRequirement: TypeAlias = Literal[
    "letter_first", "no_named_choice", "no_forced_choice", "no_choice_while_thinking", "tools_for_history"
]
"""What a server wants of tools and of the choice among them, as `wordings.tools` has it."""


class Corrections(msgspec.Struct, frozen=True):
    """All corrections for one upstream and model; a None or an empty value corrects nothing.

    `refused_fields` are fields of the chat request that the server does not accept.  `missing` are capabilities that
    the model does not have.  `efforts` are the only values of `reasoning_effort` that it accepts.  `max_tokens_field`
    is the field for the output limit, if it is not the dialect's.  `max_output_tokens`, `context_window` (tokens) and
    `max_images` are limits for one request, `max_unstreamed_output` is one for a response that is not streamed, and
    `affordable_tokens` are the output tokens that the account has credit for now.  `max_stops` is how many stop
    sequences are accepted, `temperatures` the lowest and the highest temperature.  `schemas` are rewrites of tools'
    schemas, `tool_requirements` what else the server wants of tools, `max_tools` how many of them it accepts, and
    `max_tool_description` how many characters of each one's description.
    """

    refused_fields: frozenset[str] = frozenset()
    missing: frozenset[Capability] = frozenset()
    efforts: tuple[Effort, ...] = ()
    max_tokens_field: str = ""
    max_output_tokens: int | None = None
    context_window: int | None = None
    max_unstreamed_output: int | None = None
    affordable_tokens: int | None = None
    max_images: int | None = None
    max_stops: int | None = None
    temperatures: tuple[float, ...] = ()
    schemas: frozenset[SchemaRewrite] = frozenset()
    tool_requirements: frozenset[ToolRequirement] = frozenset()
    max_tools: int | None = None
    max_tool_description: int | None = None

    def merge(self, more: Corrections) -> Corrections:
        """Both together: all members of two sets, the smaller of two limits, and else the value of `more`."""
        if more is NO_CORRECTIONS or more == NO_CORRECTIONS:  # almost always the same object
            return self
        return Corrections(
            **{name: _merge(getattr(self, name), getattr(more, name)) for name in self.__struct_fields__}
        )

    def repeats(self, earlier: Corrections) -> bool:
        """Whether these name a member of a set, such as a field, that earlier ones have corrected already, in vain.

        A limit is no such member: it comes down step by step."""
        return any(
            isinstance(value, frozenset) and not value.isdisjoint(getattr(earlier, name))
            for name, value in self._values()
        )

    def shareable(self) -> Corrections:
        """The part that may be kept for other calls."""
        return Corrections(
            **{
                name: value
                for name, value in self._values()
                if not isinstance(value, int) or value >= _SHARED_FROM.get(name, 0)
            }
        )

    def _values(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in self.__struct_fields__]


NO_CORRECTIONS = Corrections()

_SHARED_FROM: Mapping[str, int] = {
    "max_output_tokens": 1024,
    "context_window": 4096,
    "max_unstreamed_output": 1024,
    "affordable_tokens": _NEVER,
    "max_tools": 8,
    "max_tool_description": 64,
}
"""No smaller limit is shared with other calls: no such model stands behind a coding agent, and a limit that was read
wrongly would make the model useless for everybody."""


class Correction(msgspec.Struct, frozen=True):
    """One correction that an error asks for.

    If one of the `phrases` stands in the request, the server may only have quoted it (`quotations`).
    """

    changes: Corrections
    phrases: tuple[Phrase, ...]


def _merge(one: Any, more: Any) -> Any:
    if isinstance(one, frozenset):
        return one | more
    if isinstance(one, int) and isinstance(more, int):
        return min(one, more)
    return more or one
