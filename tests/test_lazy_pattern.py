from __future__ import annotations

import re

import pytest

from asgi_llmgate.lazy_pattern import lazy_pattern


def test_it_finds_what_the_compiled_pattern_finds() -> None:
    pattern = lazy_pattern(r"a(b+)", re.IGNORECASE)
    for _ in range(2):
        match = pattern.search("xABB")
        assert match is not None
        assert match[1] == "BB"
        assert pattern.sub("-", "xabab") == "x--"


def test_it_is_compiled_with_its_first_use_and_not_before() -> None:
    pattern = lazy_pattern("(")
    with pytest.raises(re.error):
        pattern.search("")


def test_a_method_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = lazy_pattern("a")
    pattern.search("a")
    monkeypatch.setattr(re, "compile", None)
    assert pattern.search("a") is not None
