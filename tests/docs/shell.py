"""Blocks of `sh`, as a page's reader runs them: in bash, up to the first command that fails."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

BASH = ("bash", "-euo", "pipefail", "-c")
"""What a block follows as one word."""


def run_block(
    text: str, folder: Path, environment: Mapping[str, str], *, timeout: float, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run commands that end by themselves, within `timeout` seconds, with `code` as their exit code."""
    done = subprocess.run(
        [*BASH, text],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == code, text + done.stdout + done.stderr
    return done
