"""A logged traceback says where, not what."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asgi_llmgate.usage.tracebacks import format_traceback

PROMPT = "the secret prompt"


def plain() -> None:
    int(PROMPT)


def caused() -> None:
    try:
        int(PROMPT)
    except ValueError as error:
        raise LookupError(PROMPT) from error


def in_context() -> None:
    try:
        int(PROMPT)
    except ValueError:
        raise LookupError(PROMPT)  # noqa: B904


def hidden() -> None:
    try:
        int(PROMPT)
    except ValueError:
        raise LookupError(PROMPT) from None


def grouped() -> None:
    raise ExceptionGroup(PROMPT, [ValueError(PROMPT), KeyError(PROMPT)])


def noted() -> None:
    error = ValueError()
    error.add_note(PROMPT)
    raise error


@pytest.mark.parametrize(
    ("function", "classes"),
    [
        (plain, ["builtins.ValueError"]),
        (caused, ["builtins.ValueError", "builtins.LookupError"]),
        (in_context, ["builtins.ValueError", "builtins.LookupError"]),
        (hidden, ["builtins.LookupError"]),
        (grouped, ["builtins.ExceptionGroup", "builtins.ValueError", "builtins.KeyError"]),
        (noted, ["builtins.ValueError"]),
    ],
)
def test_a_traceback_has_classes_and_lines_but_no_messages(function: Callable[[], None], classes: list[str]):
    with pytest.raises(Exception) as caught:
        function()
    text = format_traceback(caught.value)
    assert PROMPT not in text
    assert f"in {function.__name__}" in text
    assert [line for line in text.splitlines() if line.startswith("builtins.")] == classes


def test_a_circle_of_causes_ends():
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert format_traceback(first).count("builtins.") == 2
