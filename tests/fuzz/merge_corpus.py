"""Makes the kept corpus: of what is kept and of what a run has found, the smallest inputs that reach as much.

    python -m tests.fuzz.merge_corpus translator .cache/fuzz/translator

Wants atheris (the side environment of tests/fuzz/test_fuzz.py); libFuzzer's `-merge=1` does the work.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.mutations import TARGETS, keep, kept


def main(name: str, *folders: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        before, after = Path(scratch, "before"), Path(scratch, "after")
        before.mkdir()
        after.mkdir()
        for number, data in enumerate([*kept(name), *(b"\0\0" + seed for seed in TARGETS[name].SEEDS)]):
            (before / str(number)).write_bytes(data)
        itself = Path(scratch, "itself")
        itself.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.fuzz.guided_fuzzer {name} "$@"\n')
        itself.chmod(0o755)
        merge = [itself, after, before, *folders, "-merge=1", "-max_len=1500", "-use_counters=0"]
        subprocess.run(merge, check=True, env={**os.environ, "ITSELF": str(itself)})
        keep(name, [file.read_bytes() for file in after.iterdir()])


if __name__ == "__main__":
    main(*sys.argv[1:])
