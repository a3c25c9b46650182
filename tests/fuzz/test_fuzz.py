from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.fuzz.mutations import TARGETS, kept, mutated, run
from tests.helpers.installation import CACHE, ROOT, python_environment

ATHERIS = ("atheris>=3,<4", "msgspec", "joserfc", "authlib", "httptools", "httpx", "httpx-aiohttp")
SECONDS = 60


@pytest.mark.parametrize("name", TARGETS)
def test_what_the_fuzzer_once_found(name: str) -> None:
    run(kept(name), TARGETS[name].target)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", TARGETS)
def test_mutations(name: str, seed: int) -> None:
    rng = random.Random(seed)
    run([mutated(rng, TARGETS[name]) for _ in range(200)], TARGETS[name].target)


def test_an_input_that_fails_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    def target(data: bytes) -> None:
        raise ValueError("found")

    with pytest.raises(ValueError, match="found"):
        run([b"x"], target)
    assert "fails on b'x'" in capsys.readouterr().err


@pytest.mark.soak
@pytest.mark.parametrize("name", TARGETS)
def test_a_minute_of_guided_fuzzing(name: str, tmp_path: Path) -> None:
    """What it finds to be new stays in .cache/fuzz, for the next run to begin with; `python -m tests.fuzz.merge_corpus`
    makes the kept corpus of it."""
    python = python_environment("fuzz", *ATHERIS, constrained=True)
    found, seeds, words = CACHE / "fuzz" / name, tmp_path / "seeds", tmp_path / "words"
    found.mkdir(parents=True, exist_ok=True)
    seeds.mkdir()
    for number, data in enumerate([*kept(name), *(b"\0\0" + seed for seed in TARGETS[name].SEEDS)]):
        (seeds / str(number)).write_bytes(data)
    words.write_text("".join(map(_word, TARGETS[name].TOKENS)))
    options = [f"-max_total_time={SECONDS}", f"-dict={words}", "-max_len=1500", "-timeout=20", "-rss_limit_mb=2048"]
    options.append(f"-artifact_prefix={found.parent}/{name}-")
    ended = subprocess.run(
        [python, "-m", "tests.fuzz.guided_fuzzer", name, found, seeds, *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SECONDS + 300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    assert "Done " in ended.stderr


def _word(token: bytes) -> str:
    """A line of a libFuzzer dictionary."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n'
