"""A clock that goes wrong by days, for a run of the tests: `make test SHIFT=400d`, `make test SHIFT=-10d`.

Python imports this at its start where this folder is in PYTHONPATH.  `time`, `datetime` and `uuid` are then CLOCK_SHIFT
away from the machine's clock, here and in every process that is started from here and whose Python has time-machine;
`time.monotonic`, the file system and programs in other languages (OpenSSL's checks of certificates, PostgreSQL, Claude
Code) are not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any

SHIFT = "CLOCK_SHIFT"
FOLDER = Path(__file__).absolute().parent


def shift_clock(shift: str) -> None:
    """`shift`: whole days, such as 400d or -10d."""
    sys.modules["pytest"] = None  # type: ignore[assignment]  # time-machine would import it, in each process
    try:
        import time_machine
    except ModuleNotFoundError:  # an environment for somebody else's programs
        return
    finally:
        del sys.modules["pytest"]
    time_machine.__doc__ = "PYTEST_DONT_REWRITE: it is there before pytest"
    traveller = time_machine.travel(timedelta(days=int(shift.removesuffix("d")))).start()
    traveller.time_ns()  # it ticks from the first reading on


def pass_on(shift: str) -> None:
    """Processes that are given an environment of their own get the shift with it."""
    start = subprocess.Popen.__init__

    @wraps(start)
    def started(self: Any, *args: Any, env: Any = None, **options: Any) -> None:
        start(self, *args, env=None if env is None else with_shift(env, shift), **options)

    subprocess.Popen.__init__ = started  # type: ignore[method-assign]


def with_shift(env: Mapping[str, str], shift: str) -> dict[str, str]:
    """This folder comes last: pip, for one, has a sitecustomize of its own for what it builds."""
    folders = [each for each in env.get("PYTHONPATH", "").split(os.pathsep) if each and Path(each).absolute() != FOLDER]
    return {SHIFT: shift, **env, "PYTHONPATH": os.pathsep.join([*folders, str(FOLDER)])}


if os.environ.get(SHIFT):
    shift_clock(os.environ[SHIFT])
    pass_on(os.environ[SHIFT])
    os.environ.update(with_shift(os.environ, os.environ[SHIFT]))
