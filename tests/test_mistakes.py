"""Several mistakes at once, and those that only follow from another."""

from __future__ import annotations

import gc
import weakref

import pytest

from asgi_llmgate.cel import compile_rule
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes, error_path


def wrong(path: str, **options: object) -> SettingsError:
    return SettingsError("wrong", path=path, **options)  # type: ignore[arg-type]


def told(mistakes: Mistakes) -> list[str]:
    return [error.path for error in mistakes.found]


def test_without_mistakes_nothing_is_raised() -> None:
    Mistakes().raise_if_any()


def test_the_first_is_raised_and_has_the_others() -> None:
    mistakes = Mistakes()
    for path in ("a", "b", "c"):
        with mistakes.under("x"):
            raise wrong(path)
    with pytest.raises(SettingsError) as caught:
        mistakes.raise_if_any()
    assert [error.path for error in (caught.value, *caught.value.others)] == ["x.a", "x.b", "x.c"]
    assert str(caught.value) == "x.a: wrong\nand 2 more:\n  x.b: wrong\n  x.c: wrong"


def test_the_text_of_an_error_is_bounded() -> None:
    mistakes = Mistakes()
    for number in range(1000):
        mistakes.add(wrong(f"[{number}]"))
    with pytest.raises(SettingsError) as caught:
        mistakes.raise_if_any()
    lines = str(caught.value).splitlines()
    assert (lines[1], len(lines), lines[-1]) == ("and 999 more:", 23, "  ... and 979 more")


def test_what_collected_several_can_be_collected_by_another() -> None:
    inner, outer = Mistakes(), Mistakes()
    inner.add(wrong("[0]"))
    inner.add(wrong("[1].b"))
    with outer.under("rules"):
        inner.raise_if_any()
    with outer.under("policy"):
        raise wrong("policy.rules")
    assert told(outer) == ["rules[0]", "rules[1].b", "policy.rules"]
    assert [error.others for error in outer.found] == [(), (), ()]


def test_the_same_is_told_once() -> None:
    mistakes = Mistakes()
    mistakes.add(wrong("a"))
    mistakes.add(wrong("a"))
    mistakes.add(SettingsError("otherwise", path="a"))
    assert [str(error) for error in mistakes.found] == ["a: wrong", "a: otherwise"]


@pytest.mark.parametrize(
    ("path", "rests_on", "is_told"),
    [
        ("models[1].use", (), False),
        ("models[1].use[0]", (), False),
        ("models[1].use.x", (), False),
        ("models[1].used", (), True),
        ("models[1]", (), True),
        ("models[10].use", (), True),
        ("policy", ("$.models[1].use",), False),
        ("policy", ("$.models[1].use.x",), False),
        ("policy", ("$.models",), True),
    ],
)
def test_what_follows_from_a_value_that_is_not_known_is_not_told(
    path: str, rests_on: tuple[str, ...], is_told: bool
) -> None:
    mistakes = Mistakes()
    mistakes.mark_unknown("models[1].use")
    mistakes.add(wrong(path, rests_on=rests_on))
    assert bool(mistakes.found) is is_told


def test_a_part_that_failed_is_not_known_afterwards() -> None:
    mistakes = Mistakes()
    with mistakes.part("jwks"):
        raise wrong("file")
    with mistakes.part("other"):
        pass
    for path in ("jwks", "jwks.url", "other"):
        mistakes.add(SettingsError("later", path=path))
    assert told(mistakes) == ["jwks.file", "other"]


def test_paths_are_those_of_the_file() -> None:
    mistakes = Mistakes()
    mistakes.add_name("policy", "polcy")
    mistakes.add_name("policy.rules", "policy.rulse")
    for path in ("policy.default", "policy.rules[0].when", "policyx"):
        mistakes.add(wrong(path))
    assert told(mistakes) == ["polcy.default", "polcy.rulse[0].when", "policyx"]


def test_the_place_in_a_rule_is_kept() -> None:
    mistakes = Mistakes()
    with mistakes.under("policy.rules[0]"), error_path(""):
        compile_rule("jwt.a ==\n jtw.b", variables={"jwt": None})
    (error,) = mistakes.found
    assert (error.path, error.place) == ("policy.rules[0]", (2, 2))
    assert error.message.startswith("2:2: unknown variable 'jtw'")
    assert error.problem.startswith("unknown variable 'jtw'")


def test_no_traceback_keeps_what_was_built() -> None:
    class Built:
        pass

    def build() -> weakref.ref[Built]:
        built = Built()
        with mistakes.under():
            raise wrong("a")
        return weakref.ref(built)

    mistakes = Mistakes()
    gc.disable()
    try:
        assert build()() is None
    finally:
        gc.enable()
