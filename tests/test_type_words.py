"""The words for each type and each kind of value."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest

from asgi_llmgate.type_words import explain_mismatch, fits


class Section(msgspec.Struct):
    key: str = ""


Mode = Literal["strict", "off"]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]

BRACKETS = "in brackets, or each member in a line of its own that begins with a dash"
YAML_BOOL = "in quotes; without them YAML reads on, off, yes and no as true and false"
EMPTY = "write a value, or leave the key out"

WORDS: list[tuple[Any, Any, str, str]] = [
    (5, str, "must be a text, not 5", "in quotes"),
    (1.5, str, "must be a text, not 1.5", "in quotes"),
    (False, str, "must be a text, not false", YAML_BOOL),
    (datetime.date(2026, 1, 1), str, "must be a text, not a date", "in quotes"),
    (datetime.datetime(2026, 1, 1), str, "must be a text, not a date", "in quotes"),
    (["a"], str, "must be a text, not a list", ""),
    ({"a": 1}, str, "must be a text, not a mapping", ""),
    (None, str, "must be a text, not empty", EMPTY),
    (b"x", str, "must be a text, not a bytes", ""),
    ("7", int, "must be a whole number, not a text", "without quotes"),
    ("seven", int, "must be a whole number, not a text", ""),
    ("${PORT}", int, "must be a whole number, not a text", "a variable is always a text"),
    (1.5, int, "must be a whole number, not 1.5", ""),
    (True, int, "must be a whole number, not true", ""),
    ("1.5", float, "must be a number, not a text", "without quotes"),
    (True, float, "must be a number, not true", ""),
    ("true", bool, "must be true or false, not a text", "without quotes"),
    (1, bool, "must be true or false, not 1", ""),
    (0, AtLeastOne, "must be a whole number of at least 1, not 0", ""),
    ("1", AtLeastOne, "must be a whole number of at least 1, not a text", "without quotes"),
    (-1.5, Positive, "must be a number above 0, not -1.5", ""),
    (-(10**20), Positive, "must be a number above 0, not a number that large", ""),
    (float("-inf"), Positive, "must be a number above 0, not a number that is not finite", ""),
    (10, Annotated[int, msgspec.Meta(ge=1, le=9)], "must be a whole number of at least 1 and of at most 9, not 10", ""),
    (0, Annotated[int, msgspec.Meta(gt=0, lt=9)], "must be a whole number above 0 and below 9, not 0", ""),
    ("a", tuple[str, ...], "must be a list, not a text", BRACKETS),
    (5, tuple[str, ...], "must be a list, not 5", ""),
    ({}, tuple[str, ...], "must be a list, not a mapping", "each member in a line of its own that begins with a dash"),
    ("a", dict[str, str], "must be a mapping, not a text", ""),
    (["a"], dict[str, str], "must be a mapping, not a list", ""),
    ("a", Section, "must be a mapping, not a text", ""),
    (None, Section, "must be a mapping, not empty", EMPTY),
    ("strikt", Mode, "must be one of strict, off, not 'strikt'", "did you mean strict?"),
    ("x" * 100, Mode, f"must be one of strict, off, not '{'x' * 40}'", ""),
    (False, Mode, "must be one of strict, off, not false", YAML_BOOL),
    (5, Mode, "must be one of strict, off, not 5", "in quotes"),
    ("403", Literal[403, 400], "must be one of 403, 400, not '403'", "did you mean 403?"),
    (404, Literal[403, 400], "must be one of 403, 400, not 404", ""),
    (5, str | None, "must be a text, not 5", "in quotes"),
    ("5", int | None, "must be a whole number, not a text", "without quotes"),
    (5, str | tuple[str, ...], "must be a text or a list, not 5", "in quotes"),
    (5, bool | Section, "must be true or false or a mapping, not 5", ""),
    (5, str | dict[str, Any], "must be a text or a mapping, not 5", "in quotes"),
    ("llm", tuple[str, ...] | Literal["none"] | None, "must be a list or \"none\", not 'llm'", BRACKETS),
    (5, Literal["", "rfc9068"], 'must be one of "", rfc9068, not 5', "in quotes"),
    ("x y", Annotated[str, msgspec.Meta(pattern="^[a-z]+$")], "not one of the values that can stand here: 'x y'", ""),
]


@pytest.mark.parametrize(("value", "kind", "message", "hint"), WORDS, ids=[f"{w[0]!r:.20} {w[2]}" for w in WORDS])
def test_each_type_and_each_value_has_words(value: Any, kind: Any, message: str, hint: str) -> None:
    assert not fits(value, kind)
    words = explain_mismatch(value, kind)
    assert (words.message[: len(message)], words.hint) == (message, hint)
    assert len(words.message) == len(message) or "not a" in message


@pytest.mark.parametrize("kind", [int, float, bool, tuple[str, ...], dict[str, str], Section, int | None])
def test_a_text_that_may_be_a_secret_is_not_repeated(kind: Any) -> None:
    assert "sk-1234" not in "".join(explain_mismatch("sk-1234", kind))
