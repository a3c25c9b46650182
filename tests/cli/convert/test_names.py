from __future__ import annotations

import pytest

from asgi_llmgate.cli.convert.names import by_length, free_name, replaced


def test_the_first_name_that_is_not_taken() -> None:
    assert free_name("a", ()) == "a"
    assert free_name("a", {"a", "a-3"}) == "a-2"
    assert free_name("A", {"A": 1, "A_2": 2}, "_") == "A_3"


def test_exact_names_come_first_in_their_order_and_then_the_longer_patterns() -> None:
    assert by_length(["*", "b", "claude-*", "a-long-name", "c*"]) == ["b", "a-long-name", "claude-*", "c*", "*"]


@pytest.mark.parametrize(("model", "becomes"), [("fast", "m1"), ("fast-2", "m2"), ("fa-st", "m3"), ("slow", "slow")])
def test_an_exact_alias_counts_before_a_pattern(model: str, becomes: str) -> None:
    assert replaced(model, {"*st": "m3", "fast-*": "m2", "fast": "m1"}) == becomes
