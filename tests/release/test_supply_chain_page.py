"""What docs/explanation/supply-chain.md says of dependencies and tests is so."""

from __future__ import annotations

import importlib.metadata
import re

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.helpers.distribution.project import pyproject
from tests.helpers.installation import ROOT

PAGE = (ROOT / "docs" / "explanation" / "supply-chain.md").read_text("utf-8")
PROJECT = pyproject()["project"]
DIRECT = {canonicalize_name(Requirement(each).name) for each in PROJECT["dependencies"]}
SECTION = PAGE.partition("## Dependencies")[2].partition("\n## ")[0]


def all_that_is_installed(names: set[str]) -> set[str]:
    """These packages and what they need, without extras."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        for text in importlib.metadata.requires(name) or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting |= {canonicalize_name(needed.name)} - found
    return found


def test_the_table_has_each_dependency_and_no_other() -> None:
    assert {canonicalize_name(name) for name in re.findall(r"^\| `([\w.-]+)` \|", SECTION, re.MULTILINE)} == DIRECT


def test_what_comes_with_them_is_named() -> None:
    named = {canonicalize_name(name) for name in re.findall(r"`([\w.-]+)`", SECTION)}
    assert all_that_is_installed(DIRECT) - named == set()


def test_each_extra_is_named() -> None:
    about_hosts = {"starlette", "django", "quart", "fastapi", "demo"}  # the host itself, or other extras
    paragraph = SECTION.partition("An extra brings more")[2]
    assert set(PROJECT["optional-dependencies"]) - about_hosts <= set(re.findall(r"`(\w+)`", paragraph))


def test_each_test_that_is_named_is_there() -> None:
    found = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`((?:, `::\w+`)*)", PAGE)
    assert len(found) > 5
    for path, name, more in found:
        text = (ROOT / path).read_text()
        for each in filter(None, [name, *re.findall(r"::(\w+)", more)]):
            assert f"def {each}(" in text, each


def test_each_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"`((?:\.ci|examples|tests)/[\w./-]+)`", PAGE))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
