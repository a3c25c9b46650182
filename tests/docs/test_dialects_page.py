"""docs/reference/dialects.md says what the table in protocol/servers/dialects.py says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from asgi_llmgate.protocol.servers.dialects import DIALECTS, Dialect, derive

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "dialects.md").read_text("utf-8")
COLUMNS = [name for name in Dialect.__struct_fields__ if name not in ("name", "families")]
PLAINEST = DIALECTS["generic"]


def written(value: Any) -> str:
    """A value as the settings have it, on one line."""
    value = sorted(value) if isinstance(value, frozenset) else list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def listed(facts: dict[str, Any]) -> str:
    return "<br>".join(f"`{name}: {written(value)}`" for name, value in facts.items())


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def test_each_column_is_there_with_its_default() -> None:
    assert [row[:2] for row in rows("Columns")] == [
        [f"`{name}`", f"`{written(getattr(PLAINEST, name))}`"] for name in COLUMNS
    ]
    assert all(row[2] for row in rows("Columns"))


def test_each_dialect_is_there_with_what_differs() -> None:
    assert rows("Dialects") == [
        [
            f"`{name}`",
            listed({c: getattr(row, c) for c in COLUMNS if getattr(row, c) != getattr(PLAINEST, c)}) or "nothing",
        ]
        for name, row in DIALECTS.items()
    ]


def test_the_families_are_there() -> None:
    assert rows("Families") == [
        [f"`{name}`", ", ".join(f"`{pattern}`" for pattern in family.patterns), listed(family.facts)]
        for name, row in DIALECTS.items()
        for family in row.families
        if name != "azure"
    ]
    assert DIALECTS["azure"].families == DIALECTS["openai"].families


@pytest.mark.parametrize("name", COLUMNS)
def test_what_the_page_writes_can_be_written_in_the_settings(name: str) -> None:
    for row in DIALECTS.values():
        value = getattr(row, name)
        assert getattr(derive("generic", {name: yaml.safe_load(written(value))}), name) == value


def test_each_row_says_what_it_was_checked_against() -> None:
    checked = rows("What the rows were checked against")
    # `generic` claims nothing, and `anthropic` is not translated.
    assert [row[0] for row in checked] == [f"`{name}`" for name in DIALECTS if name not in ("generic", "anthropic")]
    assert all(re.fullmatch(r"`https?://\S+`", row[1]) and row[2] for row in checked)
