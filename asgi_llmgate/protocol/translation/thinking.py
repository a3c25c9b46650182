"""How much the model is asked to think, and whether that is shown.

Anthropic says it in three places: `thinking` (enabled with a budget, adaptive, disabled), `output_config.effort`, and
the `output_config` of a system message in the conversation, of which the last one holds.  Model servers take it in
four ways (`Dialect.reasoning`).  `disabled` asks for the least that the model can do: a call with `max_tokens: 64` is
otherwise thought away before the first word of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msgspec import Raw

from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.servers.dialects import EFFORTS, Effort
from asgi_llmgate.protocol.translation.draft import Draft

_BUDGETS: tuple[tuple[int, Effort], ...] = ((4096, "low"), (16384, "medium"))
"""A budget below so many tokens is this effort; above them it is "high"."""

_WAYS = ("enabled", "adaptive", "between_tools", "disabled")
_KNOWN = frozenset({"type", "budget_tokens", "display"})


@dataclass(frozen=True, slots=True)
class Thinking:
    """What is asked: `way` is `thinking.type` or "", `budget` in tokens or 0, `display` as it came, `effort` or
    None."""

    way: str = ""
    budget: int = 0
    display: str = ""
    effort: Effort | None = None


def asked(draft: Draft) -> Thinking:
    """What the request says, with the values that make no sense reported and left out."""
    fields = objects.read_object(objects.get_raw(draft.request.fields, "thinking")) or {}
    draft.report.unknown("thinking.", fields, _KNOWN)
    way = objects.read_str(fields.get("type"))
    if way not in _WAYS:
        way = ""
        if objects.get_raw(draft.request.fields, "thinking") is not None:
            draft.report.add("thinking")
    budget = objects.read_value(fields.get("budget_tokens"))
    return Thinking(
        way=way,
        budget=budget if type(budget) is int else 0,
        display=objects.read_str(fields.get("display")),
        effort=_effort(draft),
    )


def _effort(draft: Draft) -> Effort | None:
    """The effort of the last system message that has one, else of the request."""
    for message in reversed(draft.request.messages):
        if message.role == "system" and (effort := _effort_in(draft, message.fields.get("output_config"))):
            return effort
    return _effort_in(draft, draft.request.fields.get("output_config"))


def _effort_in(draft: Draft, output_config: Raw | None) -> Effort | None:
    value = objects.get_raw(objects.read_object(output_config) or {}, "effort")
    if value is None:
        return None
    effort = objects.read_str(value)
    if effort in EFFORTS:
        return effort
    draft.report.add("output_config.effort")
    return None


def write(draft: Draft, thinking: Thinking, *, with_tools: bool) -> None:
    """Ask for it in the dialect's way."""
    dialect = draft.dialect
    efforts = draft.corrections.efforts or dialect.efforts
    if with_tools and dialect.tools_effort is not None:
        effort: Effort | None = _nearest(dialect.tools_effort, efforts)
    else:
        effort = _wanted(efforts, thinking)
    _WRITERS[dialect.reasoning](draft, thinking, effort)


def _wanted(efforts: tuple[Effort, ...], thinking: Thinking) -> Effort | None:
    if thinking.way == "disabled":
        return efforts[0]
    effort = thinking.effort
    if effort is None and thinking.way == "enabled":
        effort = next((effort for below, effort in _BUDGETS if thinking.budget < below), "high")
    return None if effort is None else _nearest(effort, efforts)


def _nearest(effort: Effort, known: tuple[Effort, ...]) -> Effort:
    """The most effort that a model knows and that is not more than what is asked."""
    rank = EFFORTS.index(effort)
    return next((e for e in reversed(known) if EFFORTS.index(e) <= rank), known[0])


def _nothing(draft: Draft, thinking: Thinking, effort: Effort | None) -> None:
    if thinking.way:
        draft.report.add("thinking")
    if thinking.effort is not None:
        draft.report.add("output_config.effort")


def _as_effort(draft: Draft, thinking: Thinking, effort: Effort | None) -> None:
    if effort is not None:
        draft.body["reasoning_effort"] = to_json(effort)


def _as_openrouter(draft: Draft, thinking: Thinking, effort: Effort | None) -> None:
    if thinking.way == "enabled" and thinking.budget and thinking.effort is None:
        draft.body["reasoning"] = to_json({"max_tokens": thinking.budget})
    elif effort is not None:
        draft.body["reasoning"] = to_json({"effort": effort})


def _as_template(draft: Draft, thinking: Thinking, effort: Effort | None) -> None:
    if thinking.way in ("enabled", "disabled"):
        draft.body["chat_template_kwargs"] = to_json({"enable_thinking": thinking.way == "enabled"})


def _as_toggle(draft: Draft, thinking: Thinking, effort: Effort | None) -> None:
    if thinking.way in ("enabled", "disabled"):
        draft.body["thinking"] = to_json({"type": thinking.way})


_WRITERS: Mapping[str, Callable[[Draft, Thinking, Effort | None], None]] = {
    "none": _nothing,
    "effort": _as_effort,
    "openrouter": _as_openrouter,
    "template": _as_template,
    "toggle": _as_toggle,
}


def shown(draft: Draft, thinking: Thinking) -> bool:
    """Whether the answer shows the upstream's reasoning.

    Where the server wants a turn's reasoning back, it is shown to a client that asked for thinking without seeing it
    too: there is no other place to keep it between two requests of a tool loop.
    """
    if draft.options.thinking != "asked":
        return draft.options.thinking == "always"
    wanted = thinking.way not in ("", "disabled")
    return wanted and (thinking.display != "omitted" or draft.dialect.reasoning_history != "drop")
