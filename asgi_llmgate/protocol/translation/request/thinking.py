"""How much the model is to think, and whether the client sees it.

Anthropic has three places for it: `thinking` (enabled with a budget, adaptive, disabled), `output_config.effort`, and
the `output_config` of a system message in the conversation, of which the last one counts.
(https://platform.claude.com/docs/en/build-with-claude/extended-thinking, .../build-with-claude/effort)
Model servers have their own ways, which are in `servers.thinking_switches`.

`disabled` asks for the least thinking that the model can do: otherwise a call with `max_tokens: 64` would be used up
before the first word of the response.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.servers.dialects import EFFORTS, Effort
from asgi_llmgate.protocol.servers.thinking_switches import Switch, switch_fields
from asgi_llmgate.protocol.translation.request.draft import Draft

_BUDGETS: tuple[tuple[int, Effort], ...] = ((4096, "low"), (16384, "medium"))
"""A budget of fewer tokens than this is this effort; a larger one is "high"."""

_MODES = ("enabled", "adaptive", "between_tools", "disabled")
_FIELDS = frozenset({"type", "budget_tokens", "display"})


class Thinking(msgspec.Struct, frozen=True):
    """What the client asks for.

    `mode` is `thinking.type` or "", `budget` is in tokens or 0, `display` is `thinking.display` as it came, and
    `effort` is None where none is stated.
    """

    mode: str = ""
    budget: int = 0
    display: str = ""
    effort: Effort | None = None


NOTHING_ASKED = Thinking()


def read_thinking(draft: Draft) -> Thinking:
    """What the request asks for.  Values that are unknown here are reported and left out."""
    if "thinking" not in draft.request.fields:
        effort = _read_effort(draft)
        return NOTHING_ASKED if effort is None else Thinking(effort=effort)
    fields = objects.read_object(objects.get_raw(draft.request.fields, "thinking")) or {}
    draft.dropped.add_unknown("thinking.", fields, _FIELDS)
    mode = objects.read_str(fields.get("type"))
    if mode not in _MODES:
        mode = ""
        if objects.get_raw(draft.request.fields, "thinking") is not None:
            draft.dropped.add("thinking")
    budget = objects.read_value(fields.get("budget_tokens"))
    return Thinking(
        mode=mode,
        budget=budget if type(budget) is int else 0,  # not isinstance: a bool is an int
        display=objects.read_str(fields.get("display")),
        effort=_read_effort(draft),
    )


def _read_effort(draft: Draft) -> Effort | None:
    """The effort of the last system message that states one, else of the request."""
    for message in reversed(draft.request.messages):
        if message.role == "system" and (effort := _effort_of(draft, message.fields.get("output_config"))):
            return effort
    fields = draft.request.fields
    return _effort_of(draft, fields["output_config"]) if "output_config" in fields else None


def _effort_of(draft: Draft, output_config: Raw | None) -> Effort | None:
    value = objects.get_raw(objects.read_object(output_config) or {}, "effort")
    if value is None:
        return None
    effort = objects.read_str(value)
    if effort in EFFORTS:
        return effort
    draft.dropped.add("output_config.effort")
    return None


def without_thinking(draft: Draft, thinking: Thinking) -> Thinking:
    """For a response in which the model must not think, because of the choice of a tool; reported if it was to."""
    if thinking.mode not in ("", "disabled"):
        draft.dropped.add("thinking")
    return Thinking(mode="disabled")


def write_thinking(draft: Draft, thinking: Thinking, *, with_tools: bool) -> None:
    """Write the fields of the dialect for it.  `with_tools`: the request has function tools."""
    dialect = draft.dialect
    efforts = draft.format.corrections.efforts or dialect.efforts
    if with_tools and dialect.tools_effort is not None:
        effort: Effort | None = _nearest(dialect.tools_effort, efforts)
    else:
        effort = _wanted_effort(efforts, thinking)
    # A stated effort counts more than a budget.
    budget = thinking.budget if thinking.mode == "enabled" and thinking.effort is None else 0
    fields = switch_fields(dialect.reasoning, Switch(thinking.mode, budget, effort))
    draft.body.update(fields)
    if dialect.reasoning == "none":
        if thinking.mode:
            draft.dropped.add("thinking")
        if thinking.effort is not None:
            draft.dropped.add("output_config.effort")


def _wanted_effort(efforts: tuple[Effort, ...], thinking: Thinking) -> Effort | None:
    """The effort to ask for, of those that the model accepts; None to leave it to the model."""
    if thinking.mode == "disabled":
        return efforts[0]
    effort = thinking.effort
    if effort is None and thinking.mode == "enabled":
        effort = next((effort for below, effort in _BUDGETS if thinking.budget < below), "high")
    return None if effort is None else _nearest(effort, efforts)


def _nearest(effort: Effort, known: tuple[Effort, ...]) -> Effort:
    """The highest known effort that is not above `effort`; the lowest one where all are above it."""
    rank = EFFORTS.index(effort)
    return next((e for e in reversed(known) if EFFORTS.index(e) <= rank), known[0])


def wants_thinking(thinking: Thinking) -> bool:
    """Whether the client takes thinking blocks, if only empty ones."""
    return thinking.mode not in ("", "disabled")


def shows_thinking(draft: Draft, thinking: Thinking) -> bool:
    """Whether the client, if it wants thinking, gets the upstream's reasoning as thinking blocks."""
    # With `display: omitted` the client wants thinking but not its text.  Where the server needs a turn's reasoning
    # back, the client gets the text all the same: between two requests of a tool loop only the client can keep it.
    return thinking.display != "omitted" or bool(draft.dialect.reasoning_field)
