"""What a row of the table of corrections says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Corrections

Span = tuple[int, int]
"""Start and end of a place in an error's text."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an error that asks for a correction, where it stands, and where its words that matter stand."""

    place: Span
    telling: Span
    changes: Corrections


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A way in which servers say what they do not accept.

    topic       what the sentence is about
    patterns    the sentence.  Its words that matter (the complaint, the number) are the group `telling`, or `telling2`
                where a pattern has two ways to say it; without such a group all words matter.
    change      what to change, or a function of the match; NO_CORRECTIONS where nothing follows from this match
    keeps       what the row must not touch or is not for, although it is near: a test of the row shows it
    unless      a sentence that says so: with it in the text the row is not used
    statuses    the statuses of such an error
    searched    characters at the beginning of an error that are searched.  Behind their own words servers quote
                requests, which may contain any text.
    final       no row that comes later in the table reads the same words
    """

    topic: str
    patterns: tuple[re.Pattern[str], ...]
    change: Corrections | Callable[[re.Match[str]], Corrections]
    keeps: str
    unless: re.Pattern[str] | None = None
    statuses: frozenset[int] = frozenset({400, 422})
    searched: int = 4000
    final: bool = False

    def find(self, status: int, error_text: str) -> Iterator[Sentence]:
        """The sentences of an error.  Where two patterns fit the same words the first one counts."""
        if status not in self.statuses:
            return
        text = error_text[: self.searched]
        if self.unless is not None and self.unless.search(text) is not None:
            return
        read: list[Span] = []
        for pattern in self.patterns:
            for match in pattern.finditer(text):
                changes = self.change if isinstance(self.change, Corrections) else self.change(match)
                if changes != NO_CORRECTIONS and not overlaps(match.span(), read):
                    read.append(match.span())
                    yield Sentence(match.span(), _telling(match), changes)


def overlaps(span: Span, others: list[Span]) -> bool:
    """Whether a place has characters in common with one of some others."""
    return any(span[0] < end and start < span[1] for start, end in others)


def _telling(match: re.Match[str]) -> Span:
    names = [name for name, words in match.groupdict().items() if name.startswith("telling") and words]
    return match.span(names[0] if names else 0)
