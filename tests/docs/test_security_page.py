"""Each claim of the security model names a test, and each test that it names is there."""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.helpers.installation import ROOT

PAGE = (ROOT / "docs" / "explanation" / "security-model.md").read_text("utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


@cache
def functions(path: str) -> frozenset[str]:
    return frozenset(re.findall(r"^\s*(?:async )?def (test_\w+)\(", (ROOT / path).read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED)))
def test_a_test_that_is_named_is_there(path: str, name: str) -> None:
    assert name in functions(path)


def test_each_claim_names_a_test() -> None:
    """A row of a table whose last column is "test" ends in at least one test."""
    claims = [line for table in re.findall(r"\| test \|\n\|[-|]+\n((?:\|.*\n)+)", PAGE) for line in table.splitlines()]
    assert len(claims) > 30
    for claim in claims:
        assert re.search(r"`tests/[\w/]+\.py::\w+`[^|]*\|$", claim), claim


@pytest.mark.parametrize(
    "place", sorted(set(re.findall(r"`([a-z][\w/]*(?:\.py|/))`", re.sub(r"`tests/[^`]*`", "", PAGE))))
)
def test_a_place_in_the_source_that_is_named_is_there(place: str) -> None:
    assert (ROOT / "asgi_llmgate" / place).exists()
