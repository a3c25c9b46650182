"""The shifted clock of `make test SHIFT=400d`: whom it reaches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

import pytest

from tests.helpers.installation import ROOT

FOLDER = ROOT / "tests" / "clock"
DAY = 86400

LOOK = """
import datetime, json, os, sys, subprocess, tempfile, time, uuid
with tempfile.TemporaryFile() as file:
    now = os.fstat(file.fileno()).st_mtime
clocks = [
    time.time(), time.time_ns() / 1e9, time.clock_gettime(time.CLOCK_REALTIME), time.mktime(time.localtime()),
    datetime.datetime.now(datetime.UTC).timestamp(), datetime.datetime.now().timestamp(),
    (uuid.uuid1().time - 0x01b21dd213814000) / 1e7,
]
found = [[round((clock - now) / 86400, 3) for clock in clocks]]
if depth := int(sys.argv[1]):
    again = [sys.executable, "-c", sys.argv[2], str(depth - 1), sys.argv[2]]
    found += json.loads(subprocess.run(again, env={"LANG": "C"}, cwd="/", capture_output=True, check=True).stdout)
print(json.dumps(found))
"""
"""Prints how many days each of the clocks is ahead of the file system's, here, in a child that is given nothing of this
environment, and in the child's child."""


@pytest.mark.parametrize("shift", [400, -10])
def test_all_clocks_of_a_process_and_of_those_it_starts_are_shifted(shift: int) -> None:
    environment = {**os.environ, "CLOCK_SHIFT": f"{shift}d", "PYTHONPATH": str(FOLDER)}
    command = [sys.executable, "-c", LOOK, "2", LOOK]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
    assert json.loads(done.stdout) == [[shift] * 7] * 3


def test_the_clock_of_this_run_is_as_asked() -> None:
    with tempfile.TemporaryFile() as file:
        ahead = time.time() - os.fstat(file.fileno()).st_mtime
    assert round(ahead / DAY, 3) == int(os.environ.get("CLOCK_SHIFT", "0").removesuffix("d"))
