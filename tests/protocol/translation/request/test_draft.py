from __future__ import annotations

import msgspec
import pytest

from asgi_llmgate.protocol.translation.request.draft import Dropped


def test_each_name_is_reported_once_in_order_of_sight() -> None:
    dropped = Dropped()
    for name in ("b", "a", "b"):
        dropped.add(name)
    assert list(dropped.names) == ["b", "a"]


def test_names_from_callers_are_harmless_and_few() -> None:
    dropped = Dropped()
    dropped.add('x"\n{a}' + "y" * 1000)
    for number in range(1000):
        dropped.add(f"field{number}")
    assert next(iter(dropped.names)).startswith("x___a_yy")
    assert max(map(len, dropped.names)) <= 80
    assert len(dropped.names) == 50


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("cache_control", "cache_control"),
        ("webSearch2", "webSearch2"),
        ("x" * 40, "x" * 40),
        ("x" * 41, "other"),
        ("", "other"),
        ("our plan", "other"),
        ("our-plan", "other"),
        ("4111111111111111", "other"),
        ("plan\x1b[31m", "other"),
        ("plán", "other"),
    ],
)
def test_a_name_of_the_callers_own_is_reported_if_it_is_an_identifier(word: str, name: str) -> None:
    dropped = Dropped()
    dropped.add_unknown("metadata.", {word: msgspec.Raw(b"1"), "known": msgspec.Raw(b"1")}, frozenset({"known"}))
    assert list(dropped.names) == [f"metadata.{name}"]
