"""A chat request while it is being written: what everybody who writes a part of it needs to look at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec import Raw

from asgi_llmgate.exchange import Target
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.servers.context_window import PromptCount
from asgi_llmgate.protocol.servers.corrections import Corrections
from asgi_llmgate.protocol.servers.dialects import Dialect
from asgi_llmgate.protocol.translation.tool_names import ToolNames


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The operator's choices where a translation can be made in more than one way.

    `unsupported_tools` says what becomes of a call whose only tools are ones that only Anthropic can run: it is
    answered here, sent without them, or refused.  `repair_tool_pairs` mends a history with calls and results that do
    not match instead of refusing it.  `tool_references` says how a tool that a search has loaded is told to the
    model.  `response_model` says which model name the answer shows.  `strict` refuses a request from which something
    that matters would be left out.  `user_id` says whether a hash of `metadata.user_id` is sent.  `extra_body` is
    merged into the request last.  `max_output_tokens` caps every answer (0: no cap).  `thinking` says when reasoning
    is shown.
    """

    unsupported_tools: Literal["answer", "drop", "reject"] = "answer"
    repair_tool_pairs: bool = False
    tool_references: Literal["names", "schemas"] = "names"
    response_model: Literal["upstream", "requested"] = "upstream"
    strict: bool = False
    user_id: Literal["hashed", "off"] = "hashed"
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    max_output_tokens: int = 0
    thinking: Literal["asked", "always", "never"] = "asked"


_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_UNSAFE = re.compile(r"[^\w.:\[\]-]", re.ASCII)
_LONGEST, _MOST = 80, 50


class Report:
    """What was left out or changed, by name: `messages[].content[].cache_control`.  No indices, so that the names can
    be counted.  They go into records, so a caller's word that could be any text is not among them: `named` says
    which may, and names of tools are cut to a harmless alphabet and length."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def add(self, name: str) -> None:
        if name not in self._names and len(self._names) < _MOST:
            self._names[_UNSAFE.sub("_", name[:_LONGEST])] = None

    def unknown(self, place: str, fields: Mapping[str, Raw], known: frozenset[str]) -> None:
        """Report every field that is not among the known ones.  `place` ends where the name begins."""
        if not fields.keys() <= known:
            for name in fields:
                if name not in known:
                    self.add(place + named(name))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._names)


def named(word: str) -> str:
    """A name of the request (a field's, a block's type), if it is the name of something; a sentence is none."""
    return word if _IDENTIFIER.fullmatch(word) else "other"


@dataclass(slots=True, kw_only=True)
class Draft:
    """`body` holds the fields written so far, each as JSON.  `dialect` is the row for the target's model.

    `prompt_count` is what the upstream said about the prompt when it refused the request, `prefill` the text of a last
    message that is the assistant's, `images_over` how many of the next images are too many for the model.
    """

    request: MessagesRequest
    target: Target
    dialect: Dialect
    options: Options
    corrections: Corrections
    input_estimate: int
    prompt_count: PromptCount
    names: ToolNames
    images_over: int = 0
    report: Report = field(default_factory=Report)
    body: dict[str, bytes] = field(default_factory=dict)
    prefill: str = ""
