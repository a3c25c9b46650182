from __future__ import annotations

import pytest

from benchmarks.soak import Sample, mistakes

BEFORE = Sample(100.0, 20, 3)


@pytest.mark.parametrize(
    ("memory", "after", "found"),
    [
        ([100, 110, 110, 110, 110, 110, 110, 111], BEFORE, []),
        ([100, 110, 110, 112, 114, 116, 118, 122], BEFORE, ["memory has grown from 111.0 to 120.0 MB"]),
        ([10, 20, 20, 20, 20, 24, 24, 24], BEFORE, []),  # less than 5 MB
        ([100] * 8, Sample(100.0, 22, 3), ["2 files stay open"]),
        ([100] * 8, Sample(100.0, 20, 4), ["1 tasks stay"]),
    ],
)
def test_what_grows_is_found(memory: list[float], after: Sample, found: list[str]) -> None:
    assert mistakes([Sample(each, 25, 9) for each in memory], BEFORE, after) == found
