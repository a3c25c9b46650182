from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "explanation" / "known-failures.md"


def test_each_known_failure_has_a_test() -> None:
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE.read_text("utf-8"), re.MULTILINE)]
    tests = "".join(path.read_text("utf-8") for path in TESTS.rglob("test_*.py"))
    tested = {int(number) for number in re.findall(r"^(?:async )?def test_case_(\d+)_", tests, re.MULTILINE)}
    assert numbers == list(range(1, 67))
    assert tested == set(numbers)


def test_each_kind_of_failure_has_a_family_of_tests() -> None:
    kinds = re.findall(r"^\| ((?:[KD]\d+)|(?:D-[ab])) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    modules = [path.name for path in TESTS.rglob("families/**/test_*.py")]
    families = {
        re.match(r"test_([kd][a-z]?\d*)_", name)[1] for name in modules if re.match(r"test_[kd][a-z]?\d*_", name)
    }
    assert families == {_module_prefix(kind) for kind in kinds}
    assert len(kinds) == len(set(kinds))


def _module_prefix(kind: str) -> str:
    """K2 -> k02, D-a -> da, D7 -> d07."""
    letter, number = kind[0].lower(), kind[1:].removeprefix("-")
    return letter + (f"{int(number):02}" if number.isdigit() else number)
