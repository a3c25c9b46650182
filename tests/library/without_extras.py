"""The command `llmgate` and Python as they are with nothing but the wheel: what extras bring cannot be imported.

results = run_commands([["usage", "report"], ...], folder)      # one process for all of them
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from asgi_llmgate.extras import MODULES

_HIDE = """
import importlib.abc, json, os, sys

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
"""

_RUN = """
from click.testing import CliRunner
from asgi_llmgate.cli import main

results = []
for command in json.load(sys.stdin):
    os.chdir(folder)
    done = CliRunner().invoke(main, command, prog_name="llmgate")
    error = done.exception
    is_crash = error is not None and not isinstance(error, SystemExit)
    results.append((done.exit_code, done.output, repr(error) if is_crash else ""))
json.dump(results, sys.stdout)
"""


class Done(NamedTuple):
    code: int
    output: str
    crash: str
    """What a person would see as a traceback; empty if there is none."""


def run_python(code: str, *, hidden: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """A process in which no package of an extra is there, or not those in `hidden`."""
    names = set(hidden) or {module for modules in MODULES.values() for module in modules}
    return subprocess.run(
        [sys.executable, "-c", f"hidden = {names!r}\n{_HIDE}\n{code}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_commands(commands: Sequence[Sequence[str]], folder: Path, *, python: Path | None = None) -> list[Done]:
    """Each command in `folder`, with an empty standard input; by `python`, or by ours without what extras bring."""
    names = set() if python else {module for modules in MODULES.values() for module in modules}
    done = subprocess.run(
        [python or sys.executable, "-c", f"hidden, folder = {names!r}, {str(folder)!r}\n{_HIDE}\n{_RUN}"],
        cwd=folder,
        input=json.dumps([list(command) for command in commands]),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Done(*each) for each in json.loads(done.stdout)]
