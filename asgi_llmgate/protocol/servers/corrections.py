"""What an upstream teaches by refusing: a field that it does not know, a limit that nobody has told us.

A 400 that says so corrects the call: it is written once more with the lesson.  The wordings are the servers' own
(OpenAI, Azure, vLLM, OpenRouter, DeepSeek, Mistral, Groq, Ollama); one that is not listed corrects nothing, and the
caller gets the error.  What is kept for other calls, and when, is for upstream/attempt.py to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from asgi_llmgate.protocol.servers import context_window
from asgi_llmgate.protocol.servers.capabilities import Capability, missing_capabilities
from asgi_llmgate.protocol.servers.dialects import EFFORTS, Effort
from asgi_llmgate.protocol.servers.quotations import Phrase, telling_phrases

LEAST_OUTPUT = 1024
LEAST_WINDOW = 4096
"""Tokens.  A smaller limit is not kept: nobody puts such a model behind a coding agent, and read wrongly it would make
the model useless for everybody."""


@dataclass(frozen=True, slots=True)
class Corrections:
    """The lessons of one upstream and model.  `refused` are fields of the chat request that it does not take, `lacking`
    is what the model does not have, `efforts` are the only values of `reasoning_effort` that it knows,
    `max_tokens_field` what it wants in place of the other; the limits of tokens and images are each for one request."""

    refused_fields: frozenset[str] = frozenset()
    missing: frozenset[Capability] = frozenset()
    efforts: tuple[Effort, ...] = ()
    max_tokens_field: str = ""
    max_output_tokens: int | None = None
    context_window: int | None = None
    max_images: int | None = None

    def merge(self, more: Corrections) -> Corrections:
        """Both.  Of two limits the smaller one."""
        return Corrections(
            refused_fields=self.refused_fields | more.refused_fields,
            missing=self.missing | more.missing,
            efforts=more.efforts or self.efforts,
            max_tokens_field=more.max_tokens_field or self.max_tokens_field,
            max_output_tokens=_smaller(self.max_output_tokens, more.max_output_tokens),
            context_window=_smaller(self.context_window, more.context_window),
            max_images=_smaller(self.max_images, more.max_images),
        )

    def repeats(self, earlier: Corrections) -> bool:
        """Whether this complains again of what has been corrected already."""
        return bool(self.refused_fields & earlier.refused_fields or self.missing & earlier.missing)

    def shareable(self) -> Corrections:
        """What other calls may be spared."""
        output, window = self.max_output_tokens, self.context_window
        return replace(
            self,
            max_output_tokens=output if output is not None and output >= LEAST_OUTPUT else None,
            context_window=window if window is not None and window >= LEAST_WINDOW else None,
        )


NO_CORRECTIONS = Corrections()


@dataclass(frozen=True, slots=True)
class Correction:
    """One thing that a refusal says.  `said`: it is the request's own words if one of these phrases stands there."""

    changes: Corrections
    phrases: tuple[Phrase, ...]


_Span = tuple[int, int]
_Found = tuple[_Span, _Span, Corrections]
"""The place of a sentence, that of its telling words, and what it says."""

_FIELD = (
    r"(?:\b(stream_options|parallel_tool_calls|reasoning_effort|chat_template_kwargs|prompt_cache_key|top_[kp])\b"
    r"|['`](temperature|stop)['`])"
)
_COMPLAINT = (
    r"(?:not support|unsupported|not (?:permitted|allowed)|unrecognized|unknown|unexpected"
    r"|extra_forbidden|literal_error)"  # pydantic's
)
_FLAGS = re.IGNORECASE | re.DOTALL | re.ASCII  # ASCII: else the long s is an s, and no request is found to hold it

_REFUSED = re.compile(rf"{_FIELD}.{{0,60}}?(?P<after>{_COMPLAINT})|(?P<before>{_COMPLAINT}).{{0,60}}?{_FIELD}", _FLAGS)
"""Both words close together: servers also quote whole requests, which name every field, in errors about another."""

_SAID_OTHERWISE = (
    ("does not support thinking", "reasoning_effort"),
    ("chat_template is not supported", "chat_template_kwargs"),
    ("Reasoning is mandatory", "reasoning"),
)

_EFFORTS = re.compile(  # OpenAI; vLLM
    r"reasoning_effort\b.{0,80}?(?P<telling>(?:supported values are:|input should be)"
    r" (?:['`]\w+['`](?:,? and |,? or |, )?)+)",
    _FLAGS,
)

_OTHER_FIELD = re.compile(r"use ['`]?(max_tokens|max_completion_tokens)['`]? instead", _FLAGS)
"""OpenAI and Azure of reasoning models, whose deployments there have any name."""

_OUTPUT_LIMIT = re.compile(
    r"supports? at most (\d{1,9}) (?:completion|output) tokens"
    r"|max_tokens: \d+ > (\d{1,9})"
    r"|max_(?:completion_)?tokens\b.{0,60}?\[1, ?(\d{1,9})\]"
    r"|max_(?:completion_)?tokens\b.{0,60}?(?:less than or equal to|<=|at most|cannot exceed) ?[`']?(\d{1,9})",
    _FLAGS,
)
_MOST_IMAGES = re.compile(r"at most ([1-9]\d?) image", _FLAGS)
"""vLLM's `--limit-mm-per-prompt`.  The newest are shown then: a client never takes back an image that it has sent."""

_LOOK_AT = 4000
"""Characters of an error text that are searched."""


def find_corrections(status: int, error_text: str) -> tuple[Correction, ...]:
    """What a refusal says, in the order in which it says it: a server's own words come before what it quotes."""
    found = list(missing_capabilities(status, error_text))
    text = error_text[:_LOOK_AT]
    lessons: list[_Found] = [(span, span, Corrections(missing=missing)) for span, missing in found]
    if status in (400, 422):
        lessons += [*_fields(text), *_limits(text)]
    lessons.sort(key=lambda lesson: lesson[0])
    first = {corrections: (sentence, telling) for sentence, telling, corrections in reversed(lessons)}
    return tuple(
        Correction(corrections, telling_phrases(text, *place))
        for corrections, place in sorted(first.items(), key=lambda item: item[1])
    )


def _fields(text: str) -> Iterator[_Found]:
    if (match := _OTHER_FIELD.search(text)) is not None:
        yield match.span(), match.span(), Corrections(max_tokens_field=match[1].lower())
    if (match := _EFFORTS.search(text)) is not None:
        efforts = tuple(effort for effort in EFFORTS if re.search(rf"\b{effort}\b", match["telling"]))
        if efforts:
            yield match.span(), match.span("telling"), Corrections(efforts=efforts)
            return
    for match in _REFUSED.finditer(text):
        name = next(group for group in match.group(1, 2, 5, 6) if group)
        telling = match.span("after" if match["after"] else "before")
        yield match.span(), telling, Corrections(refused_fields=frozenset({name.lower()}))
    for wording, field in _SAID_OTHERWISE:
        if (at := text.find(wording)) >= 0:
            span = at, at + len(wording)
            yield span, span, Corrections(refused_fields=frozenset({field}))


def _limits(text: str) -> Iterator[_Found]:
    if (match := _OUTPUT_LIMIT.search(text)) is not None:
        number = match.lastindex or 0
        yield match.span(), match.span(number), Corrections(max_output_tokens=int(match[number]))
    if (match := _MOST_IMAGES.search(text)) is not None:
        yield match.span(), match.span(), Corrections(max_images=int(match[1]))
    if (match := context_window.find_sentence(text)) is not None:
        counted = context_window.read_prompt_count(text)
        if counted.tokens < counted.window:
            yield match.span(), match.span("window"), Corrections(context_window=counted.window)


def _smaller(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else min(one, other)
