"""The mutants of `make mutants`: what is changed, that the draw does not depend on line numbers, and the exceptions."""

from __future__ import annotations

import ast

import pytest

from tests.mutants.__main__ import ROOMS, ROOT, equivalents, mutants_in
from tests.mutants.mutations import draw, mutants_of

SOURCE = '''
LIMIT = 3

def f(a: int, b: "int | None" = None) -> int:
    """Text with 1 number."""
    if a < 5 and not b:
        g(a)
    return a if b is None else 7
'''

CHANGED = {
    ("condition", "a < 5 and not b", "(not (a < 5 and (not b)))"),
    ("and/or", "a < 5 and not b", "(a < 5 or not b)"),
    ("comparison", "a < 5", "(a <= 5)"),
    ("constant", "5", "6"),
    ("call", "g(a)", "pass"),
    ("return", "return a if b is None else 7", "return None"),
    ("comparison", "b is None", "(b is not None)"),
    ("constant", "7", "8"),
}


def test_each_mutant_is_one_change() -> None:
    found = mutants_of("m.py", SOURCE)
    assert {(each.kind, each.before, each.after) for each in found} == CHANGED
    assert len(found) == len(CHANGED)
    for each in found:
        changed = each.applied_to(SOURCE)
        assert changed.replace(each.after, each.before, 1) == SOURCE
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(SOURCE))


def test_an_offset_counts_characters_and_not_bytes() -> None:
    (mutant,) = mutants_of("m.py", "def f():\n    g('é', 5)\n    x = 'é' + 'é' if y() else h(0)\n".replace("5", "'5'"))[
        1:2
    ]
    assert mutant.applied_to("def f():\n    g('é', '5')\n    x = 'é' + 'é' if y() else h(0)\n").count("not (y())") == 1


def test_the_draw_is_the_same_after_an_edit_above() -> None:
    moved = "import os\n\n\n" + SOURCE
    drawn, again = (draw(mutants_of("m.py", text), 4, "1") for text in (SOURCE, moved))
    assert [each.place for each in drawn] == [each.place for each in again]
    assert {each.kind for each in drawn} != {drawn[0].kind}


def test_another_seed_draws_others() -> None:
    draws = {tuple(each.place for each in draw(mutants_of("m.py", SOURCE), 4, str(seed))) for seed in range(9)}
    assert len(draws) > 3


@pytest.mark.parametrize("room", ROOMS)
def test_what_is_drawn_of_a_room_is_python(room: str) -> None:
    drawn = draw(mutants_in(room), 12, "1")
    assert len(drawn) == 12
    for mutant in drawn:
        ast.parse(mutant.applied_to((ROOT / mutant.path).read_text("utf-8")))


def test_each_exception_is_a_mutant_and_has_its_reason() -> None:
    possible = {(m.path, m.function, m.before, m.after) for room in ROOMS for m in mutants_in(room)}
    for row in equivalents():
        assert (row["path"], row["function"], row["before"], row["after"]) in possible
        assert len(row["why"]) > 20
