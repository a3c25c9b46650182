"""Corrections: changes to the upstream request that an error of the server asks for.

A 400 or 422 may say that the server does not accept a field, or state a limit that the settings do not have.  The
request is then written again with that correction and sent again.  The texts are in `wordings`; one that is not listed
there corrects nothing, and the caller gets the error.  Which corrections are kept for other calls is decided in
upstream/call.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from asgi_llmgate.protocol.servers import context_window
from asgi_llmgate.protocol.servers.capabilities import missing_capabilities
from asgi_llmgate.protocol.servers.columns import EFFORTS, Effort
from asgi_llmgate.protocol.servers.errors.quotations import Phrase, telling_phrases
from asgi_llmgate.protocol.servers.wordings.capabilities import Capability
from asgi_llmgate.protocol.servers.wordings.fields import KNOWN_EFFORTS, REFUSED_FIELD, REFUSED_FIELD_TEXTS
from asgi_llmgate.protocol.servers.wordings.output_limits import IMAGE_LIMIT, OTHER_MAX_TOKENS_FIELD, OUTPUT_LIMIT

# No smaller limit is shared with other calls: no such model stands behind a coding agent, and a limit that was read
# wrongly would make the model useless for everybody.
MIN_SHARED_OUTPUT = 1024
"""Tokens of output."""
MIN_SHARED_WINDOW = 4096
"""Tokens of the context window."""


@dataclass(frozen=True, slots=True)
class Corrections:
    """All corrections for one upstream and model; a None or an empty value corrects nothing.

    `refused_fields` are fields of the chat request that the server does not accept.  `missing` are capabilities that
    the model does not have.  `efforts` are the only values of `reasoning_effort` that it accepts.  `max_tokens_field`
    is the field for the output limit, if it is not the dialect's.  `max_output_tokens`, `context_window` (tokens) and
    `max_images` are limits for one request.
    """

    refused_fields: frozenset[str] = frozenset()
    missing: frozenset[Capability] = frozenset()
    efforts: tuple[Effort, ...] = ()
    max_tokens_field: str = ""
    max_output_tokens: int | None = None
    context_window: int | None = None
    max_images: int | None = None

    def merge(self, more: Corrections) -> Corrections:
        """Both together; of two limits the smaller one, of two other values the one of `more`."""
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
        """Whether these name a field or a capability that earlier ones have corrected already, in vain."""
        return bool(self.refused_fields & earlier.refused_fields or self.missing & earlier.missing)

    def shareable(self) -> Corrections:
        """The part that may be kept for other calls."""
        output, window = self.max_output_tokens, self.context_window
        return replace(
            self,
            max_output_tokens=output if output is not None and output >= MIN_SHARED_OUTPUT else None,
            context_window=window if window is not None and window >= MIN_SHARED_WINDOW else None,
        )


NO_CORRECTIONS = Corrections()


@dataclass(frozen=True, slots=True)
class Correction:
    """One correction that an error asks for.

    If one of the `phrases` stands in the request, the server may only have quoted it (`quotations`).
    """

    changes: Corrections
    phrases: tuple[Phrase, ...]


_Span = tuple[int, int]
_Found = tuple[_Span, _Span, Corrections]
"""Start and end of a sentence, start and end of its words that matter, and the correction."""

_SEARCHED = 4000
"""Characters of an error that are searched."""


def find_corrections(status: int, error_text: str) -> tuple[Correction, ...]:
    """The corrections that an error asks for, in the order of its text: a server's own words precede its quotations."""
    text = error_text[:_SEARCHED]
    found: list[_Found] = [
        (span, span, Corrections(missing=missing)) for span, missing in missing_capabilities(status, error_text)
    ]
    if status in (400, 422):
        found += [*_find_fields(text), *_find_limits(text)]
    found.sort(key=lambda correction: correction[0])
    # Reversed, so that of several sentences with the same correction the first one stays.
    first = {changes: (sentence, telling) for sentence, telling, changes in reversed(found)}
    return tuple(
        Correction(changes, telling_phrases(text, *place))
        for changes, place in sorted(first.items(), key=lambda item: item[1])
    )


def _find_fields(text: str) -> Iterator[_Found]:
    if (match := OTHER_MAX_TOKENS_FIELD.search(text)) is not None:
        yield match.span(), match.span(), Corrections(max_tokens_field=match[1].lower())
    if (match := KNOWN_EFFORTS.search(text)) is not None:
        efforts = tuple(effort for effort in EFFORTS if re.search(rf"\b{effort}\b", match["telling"]))
        if efforts:
            yield match.span(), match.span("telling"), Corrections(efforts=efforts)
            return  # the same sentence would also read as a refusal of the whole field
    for match in REFUSED_FIELD.finditer(text):
        name = next(group for group in match.group(1, 2, 5, 6) if group)
        telling = match.span("after" if match["after"] else "before")
        yield match.span(), telling, Corrections(refused_fields=frozenset({name.lower()}))
    for wording, field in REFUSED_FIELD_TEXTS:
        if (at := text.find(wording)) >= 0:
            span = at, at + len(wording)
            yield span, span, Corrections(refused_fields=frozenset({field}))


def _find_limits(text: str) -> Iterator[_Found]:
    if (match := OUTPUT_LIMIT.search(text)) is not None:
        number = match.lastindex or 0
        yield match.span(), match.span(number), Corrections(max_output_tokens=int(match[number]))
    if (match := IMAGE_LIMIT.search(text)) is not None:
        yield match.span(), match.span(), Corrections(max_images=int(match[1]))
    if (match := context_window.find_sentence(text)) is not None:
        counted = context_window.read_prompt_count(text)
        # A prompt that is longer than the whole window fits with no output: nothing to correct.
        if counted.tokens < counted.window:
            yield match.span(), match.span("window"), Corrections(context_window=counted.window)


def _smaller(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else min(one, other)
