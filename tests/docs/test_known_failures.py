from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "explanation" / "known-failures.md"


def test_each_known_failure_has_a_test() -> None:
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE.read_text("utf-8"), re.MULTILINE)]
    tests = "".join(path.read_text("utf-8") for path in TESTS.rglob("test_*.py"))
    tested = {int(number) for number in re.findall(r"^(?:async )?def test_case_(\d+)_", tests, re.MULTILINE)}
    assert numbers == list(range(1, 61))
    assert tested == set(numbers)
