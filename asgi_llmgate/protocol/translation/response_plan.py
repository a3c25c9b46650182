"""What the answer side must know of the request, and nothing else of it.

`to_chat` makes the plan while it writes the upstream request; the translator reads it for as long as the answer lasts.
The request's body can then be forgotten: a plan holds names and numbers, and of the conversation's text at most a
prefill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ResponsePlan:
    """How one answer is to be told.

    `message_id` is used when the upstream gives no id, or a stream starts before it has spoken.  `model` is the
    target's name for itself, or, with `echo_model`, the name that the client asked for, which then stands in the
    answer whatever the upstream says.  `input_estimate` is in tokens, for `message_start`, which precedes the
    upstream's own count.  `thinking` shows the upstream's reasoning as thinking blocks; `think_tags` splits an inline
    `<think>...</think>` at the start of the content.  `names` maps tool names as the upstream knows them to the
    client's, where the two differ.  `stop_sequences` are the client's own, to recognise a matched one.
    `prefill` is what the client wrote of the answer already, where the server will repeat it.
    `output_limit` cuts the answer back to this many tokens where `max_tokens` had to be raised for the upstream.
    """

    message_id: str
    model: str
    echo_model: bool = False
    input_estimate: int = 0
    thinking: bool = False
    think_tags: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    stop_sequences: tuple[str, ...] = ()
    prefill: str = ""
    output_limit: int | None = None
