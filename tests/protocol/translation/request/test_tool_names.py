from __future__ import annotations

import re

import pytest

from asgi_llmgate.protocol.translation.request.tool_names import ToolNames

LONG = "mcp__" + "a" * 100


@pytest.mark.parametrize("name", ["Bash", "mcp__github__get-issue_1", "x" * 64])
def test_a_name_that_fits_stays(name: str) -> None:
    names = ToolNames([name])
    assert names[name] == name
    assert names.back == {}


@pytest.mark.parametrize("name", [LONG, "a.b/c", "größe", "", "x" * 65])
def test_a_name_that_does_not_fit_becomes_one_that_does_and_is_found_again(name: str) -> None:
    names = ToolNames([name])
    sent = names[name]
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", sent)
    assert names.back == {sent: name}
    assert names[name] == sent


def test_names_that_are_equal_after_the_cut_stay_apart() -> None:
    names = ToolNames([LONG + "1", LONG + "2"])
    assert names[LONG + "1"] != names[LONG + "2"]


def test_a_shortened_name_depends_on_nothing_but_the_name() -> None:
    assert ToolNames([])[LONG] == ToolNames(["Bash", LONG + "2", LONG])[LONG]


@pytest.mark.parametrize("declared_first", [True, False], ids=["declared", "in the history"])
def test_a_tool_that_has_the_name_another_would_be_given_keeps_its_own_meaning(declared_first: bool) -> None:
    taken = ToolNames([])[LONG]
    names = ToolNames([taken] if declared_first else [])
    of_long = names[LONG]
    of_taken = names[taken]
    assert of_long != of_taken
    assert [names.back.get(sent, sent) for sent in (of_long, of_taken)] == [LONG, taken]
