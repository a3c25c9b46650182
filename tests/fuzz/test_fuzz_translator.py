from __future__ import annotations

import pytest

from tests.fuzz.fuzz_translator import run_random


@pytest.mark.parametrize("seed", range(3))
def test_mutated_streams_keep_the_grammar(seed: int) -> None:
    run_random(200, seed)


def test_an_input_that_fails_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    def target(data: bytes) -> None:
        raise ValueError("found")

    with pytest.raises(ValueError, match="found"):
        run_random(1, 0, target)
    assert "fails on b'" in capsys.readouterr().err
