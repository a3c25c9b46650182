from __future__ import annotations

import re

import pytest

from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Corrections
from asgi_llmgate.protocol.servers.corrections.rows import Row, overlaps
from asgi_llmgate.protocol.servers.corrections.table import ROWS

LIMIT = Row(
    topic="a limit",
    patterns=(re.compile(r"at most (?P<telling>\d+) tokens"), re.compile(r"(?P<telling>at most) (?P<number>\d+)")),
    change=lambda match: (
        Corrections(max_output_tokens=int(match[match.lastindex or 0].split()[0]))
        if "9" not in match[0]
        else NO_CORRECTIONS
    ),
    keeps="numbers with a nine in them",
    unless=re.compile("per image"),
    searched=30,
)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        ("at most 5 tokens", [("at most 5 tokens", "5", 5)]),
        ("at most 5 tokens, at most 6", [("at most 5 tokens", "5", 5), ("at most 6", "at most", 6)]),
        ("at most 9 tokens", []),
        ("at most 5 tokens per image", []),
        ("." * 14 + "at most 5 tokens", [("at most 5 tokens", "5", 5)]),
        ("." * 15 + "at most 5 tokens", [("at most 5", "at most", 5)]),
        ("." * 22 + "at most 5 tokens", []),
    ],
)
def test_a_row_finds_its_sentences_and_the_words_that_matter(error: str, found: list[tuple[str, str, int]]) -> None:
    sentences = list(LIMIT.find(400, error))
    assert [
        (error[slice(*sentence.place)], error[slice(*sentence.telling)], sentence.changes.max_output_tokens)
        for sentence in sentences
    ] == found
    assert list(LIMIT.find(500, error)) == []


@pytest.mark.parametrize(("other", "does"), [((0, 5), False), ((0, 6), True), ((9, 10), True), ((10, 11), False)])
def test_two_places_overlap_where_a_character_is_in_both(other: tuple[int, int], does: bool) -> None:
    assert overlaps((5, 10), [other]) is does
    assert overlaps((5, 10), [(50, 60), other]) is does


def test_each_row_says_what_it_is_about_and_what_it_keeps() -> None:
    for row in ROWS:
        assert row.topic
        assert row.keeps
        assert row.patterns
        for pattern in row.patterns:
            assert pattern.flags & re.ASCII, row.topic  # see wordings/flags.py
