"""Runners for docs/how-to/install.md.

`make test` reads the lines: each names this version's wheel, extras that there are, and is good shell.
test_install_page.py runs them all, from the first to the last, with pip, uv and pipx (make test-all).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Any

from asgi_llmgate._version import __version__
from tests.helpers.distribution.project import extras

NEXT = "0.2.0"
"""The version that the page upgrades to."""

STEPS = (
    "wheel",
    "tag",
    "constraints",
    "download",
    "offline",
    "lock",
    "hashes",
    "container",
    "uv",
    "tool",
    "pipx",
    "upgrade",
    "rollback",
)
"""The blocks of the page, in its order."""

_NAMED = re.compile(r"(?:asgi_llmgate-(?P<version>[\d.]+)-py3-none-any\.whl|asgi-llmgate)(?:\[(?P<extras>[\w,]+)\])?")


def _is_good(step: str, text: str, place: Any) -> None:
    named = list(_NAMED.finditer(text))
    assert named or step == "hashes"
    for found in named:
        assert found["version"] in (None, NEXT if step == "upgrade" else __version__)
        assert set((found["extras"] or "serve").split(",")) <= extras().keys()
    assert f"@v{__version__}" in text if step == "tag" else "@v" not in text
    if step != "container":
        subprocess.run(["bash", "-n", "-c", text], check=True)


RUNNERS: dict[str, Callable[[str, Any], None]] = {f"install {step}": partial(_is_good, step) for step in STEPS}
