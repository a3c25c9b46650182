"""`tool_choice`: whether the model must call a tool, as exactly as the server accepts it.

Where a server does not accept the choice of one tool, only that tool is offered, and a call is demanded.  Where a call
cannot be demanded while the model thinks, it does not think for this response; where it cannot be told so, the call is
left to the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import Fields
from asgi_llmgate.protocol.translation.request.draft import Draft

_CHOICE_FIELDS = frozenset({"type", "name", "disable_parallel_tool_use"})
_CHOICES: Mapping[str, str] = MappingProxyType({"auto": "auto", "any": "required", "none": "none"})
"""OpenAI's word for each of Anthropic's."""


class Choice(msgspec.Struct, frozen=True):
    """What to send: `value` is `tool_choice`, if there is one.

    `only` is the one tool to offer, where the server does not accept its name as the choice.  With `without_thinking`
    the model must not think.
    """

    value: str | dict[str, Any] | None = None
    only: str = ""
    without_thinking: bool = False


NO_CHOICE = Choice()


def read_choice(draft: Draft) -> Choice:
    """The choice of the request, or the nearest one that the server accepts."""
    fields = objects.read_object(objects.get_raw(draft.request.fields, "tool_choice"))
    if fields is None:
        return NO_CHOICE
    draft.dropped.add_unknown("tool_choice.", fields, _CHOICE_FIELDS)
    kind, name = objects.read_str(fields.get("type")), objects.read_str(fields.get("name"))
    if kind not in ("tool", *_CHOICES) or (kind == "tool" and name not in draft.request.toolset.offered):
        draft.dropped.add("tool_choice")
        return NO_CHOICE
    return _demand(draft, name if kind == "tool" else "") if kind in ("tool", "any") else _other(draft, kind)


def _other(draft: Draft, kind: str) -> Choice:
    if draft.dialect.tool_choice == "none" and kind == "none":
        draft.dropped.add("tool_choice")
        return NO_CHOICE
    return Choice(_CHOICES[kind])


def _demand(draft: Draft, name: str) -> Choice:
    """A call of a tool, or of any tool where there is no name."""
    requirements, known = draft.format.corrections.tool_requirements, draft.dialect.tool_choice
    without_thinking = "no_choice_while_thinking" in requirements or not draft.dialect.choice_while_thinking
    # Whether the model can be told not to think.
    can_demand = known in ("named", "required") and "no_forced_choice" not in requirements
    if without_thinking and draft.dialect.reasoning == "none":
        can_demand = False
    if can_demand and name and known == "named" and "no_named_choice" not in requirements:
        value = {"type": "function", "function": {"name": draft.tool_names[name]}}
        return Choice(value, "", without_thinking)
    if can_demand:
        return Choice(_CHOICES["any"], name, without_thinking)
    draft.dropped.add("tool_choice")
    return Choice(None if known == "none" else _CHOICES["auto"], name)


def write_choice(draft: Draft, choice: Choice) -> None:
    """Write the choice, and whether one call at a time is wanted."""
    if choice.value is not None:
        draft.body["tool_choice"] = choice.value
    fields: Fields = objects.read_object(objects.get_raw(draft.request.fields, "tool_choice")) or {}
    if objects.is_true(fields.get("disable_parallel_tool_use")):
        if draft.dialect.parallel_tool_calls:
            draft.body["parallel_tool_calls"] = False
        else:
            draft.dropped.add("tool_choice.disable_parallel_tool_use")
