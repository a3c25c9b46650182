"""Somebody with nothing but the wheel: each tutorial from its `pip install` on, and what `llmgate init` prints, copied.

Real pip, real servers in processes of their own, and the real Claude Code.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.runners.hosts import HOSTS, blocks_named, copied_lines, until_an_answer
from tests.docs.tutorial_reader import Reader
from tests.helpers.distribution.wheel import built_wheel, index_variables, installed
from tests.helpers.installation import CONSTRAINTS, ROOT

pytestmark = pytest.mark.servers

MINUTES = 3
"""Of work, after which there is an answer: the processor's time, since this machine may do other things as well."""


@pytest.fixture
def machine(claude_binary: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a terminal that has just been opened: Python and Claude Code are installed, llmgate is not."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "python3").symlink_to(sys._base_executable)  # type: ignore[attr-defined]
    (programs / "claude").write_text(f'#!/bin/sh\nexec {claude_binary} "$@"\n')
    (programs / "claude").chmod(0o755)
    path = [each for each in os.environ["PATH"].split(":") if not Path(each, "llmgate").exists()]
    environment = {
        **index_variables(),
        "PATH": ":".join([str(programs), *path]),
        "HOME": str(tmp_path / "home"),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "PIP_CONSTRAINT": str(CONSTRAINTS),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_COMPILE": "1",  # a third of the work, for modules of which most are not imported
        "DISABLE_AUTOUPDATER": "1",
        "IS_SANDBOX": "1",
    }
    assert shutil.which("llmgate", path=environment["PATH"]) is None
    return environment


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a folder").mkdir()
    return tmp_path / "a folder"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as running:
        yield running


def work() -> float:
    """Seconds of the processor for commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("host", HOSTS)
def test_a_page_leads_from_the_wheel_to_a_first_answer(
    host: str, machine: dict[str, str], folder: Path, stack: ExitStack
) -> None:
    shutil.copy(built_wheel(), folder)
    reader = Reader(folder, stack, machine)
    before = work()
    blocks = until_an_answer(blocks_named(f"tutorial {host}"))
    printed = reader.follow(blocks)
    assert printed[-1].startswith("You said: Say hello."), printed
    assert copied_lines(blocks) < 25
    assert work() - before < MINUTES * 60


@pytest.mark.parametrize("host", ["django", "serve"])  # the others print what their tutorials say
def test_what_init_prints_works_when_it_is_copied(
    host: str, machine: dict[str, str], folder: Path, stack: ExitStack
) -> None:
    """In terminals where no virtual environment is active, and which are in another folder."""
    environment = installed(*dict.fromkeys((host, "serve")))
    if host == "django":
        subprocess.run([environment / "bin" / "django-admin", "startproject", "mysite", "."], cwd=folder, check=True)
    command = [environment / "bin" / "llmgate", "init", *([] if host == "django" else [host])]
    done = subprocess.run(command, cwd=folder, env=machine, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, lines in re.findall(r"at the end of (\S+):\n\n(.*?)\n(?=\nand|\nThen)", done.stdout, re.DOTALL):
        with (folder / name).open("a") as file:
            file.write("\n" + lines.replace("\n  ", "\n").removeprefix("  ") + "\n")
    steps = re.findall(r"^\d\. .*\n\n((?:  .*\n)+)", done.stdout, re.MULTILINE)
    assert len(steps) == 3
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    reader = Reader(elsewhere, stack, machine, written=folder)
    printed = reader.follow([("sh", step.replace("  ", "", 1).replace("\n  ", "\n")) for step in steps])
    assert printed[-1].startswith("You said: Say hello."), printed


def test_the_templates_are_in_the_wheel(folder: Path) -> None:
    environment = installed("starlette", "serve")
    source = ROOT / "asgi_llmgate" / "cli" / "init" / "templates"
    (packed,) = environment.glob("lib/python*/site-packages/asgi_llmgate/cli/init/templates")
    assert sorted(path.name for path in packed.iterdir()) == sorted(path.name for path in source.iterdir())
