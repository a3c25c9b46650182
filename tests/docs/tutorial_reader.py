"""A reader who does what a page says, block by block, in an empty folder.

a file      its first line is a comment with the path (`# app.py`); with `, at the end` it is added to the file
a command   runs in bash, in the terminal of the commands before it; one whose last line serves goes on in background,
            and the next command is the first one of another terminal: what the one before has exported, and its virtual
            environment, is not there

Ports are free ones in place of those on the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.docs.shell import BASH, run_block
from tests.helpers.server_processes import free_port, running, wait_for_output

SERVING = re.compile(r"(?:\S*/)?(?:uvicorn |llmgate (?:model|serve)\b)")
READY = r"(?:Uvicorn running on|base_url) +http://127\.0\.0\.1:(\d+)"
PORTS = ("8080", "8090")
"""Of the app with the gateway, and of `llmgate model`."""

_FILE = re.compile(r"# (?P<path>[\w./-]+\.\w+)(?P<added>, at the end)?\n")
_KEPT = re.compile(r"(?:\. |export |cd )")
"""Lines whose effect a terminal keeps."""


class Reader:
    """`environment` is all that a terminal has when it is opened.  `written`: where commands write files, if that is
    not the folder."""

    def __init__(
        self, folder: Path, stack: ExitStack, environment: Mapping[str, str], *, written: Path | None = None
    ) -> None:
        self._folder = folder
        self._written = written or folder
        self._stack = stack
        self._environment = dict(environment)
        self._ports = {port: str(free_port()) for port in PORTS}
        self._terminal: list[str] = []
        self._servers = 0
        self.address = f"http://127.0.0.1:{self._ports['8080']}"
        self._correct_files()

    def follow(self, blocks: Iterable[tuple[str, str]]) -> list[str]:
        """What each command has printed; `blocks` are language and text."""
        printed = []
        for language, text in blocks:
            if language != "sh":
                self._write(text)
            elif SERVING.match(text.splitlines()[-1]):
                self._serve(text.splitlines())
            else:
                printed.append(self._run(text))
        return printed

    def _write(self, text: str) -> None:
        found = _FILE.match(text)
        assert found, f"a file without its path in the first line:\n{text}"
        place = self._folder / found["path"]
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("a" if found["added"] else "w") as file:
            file.write(text)

    def _run(self, text: str) -> str:
        script = self._with_ports(text)
        done = run_block("\n".join([*self._terminal, script]), self._folder, self._environment, timeout=600)
        self._terminal += [line for line in script.splitlines() if _KEPT.match(line)]
        self._correct_files()
        return done.stdout

    def _serve(self, lines: list[str]) -> None:
        *before, last = lines
        if "llmgate model" in last:
            last += f" --port {self._ports['8090']}"
        if "llmgate serve" in last:
            last += f" --port {self._ports['8080']}"
        script = "\n".join([*self._terminal, *before, "exec " + self._with_ports(last)])
        self._servers += 1
        output = self._folder / f"server-{self._servers}.txt"
        words = [*BASH, script]
        process = self._stack.enter_context(running(words, output, self._folder, whole_environment=self._environment))
        assert wait_for_output(READY, output, process) in self._ports.values()
        self._terminal.clear()

    def _with_ports(self, text: str) -> str:
        for port, free in self._ports.items():
            text = re.sub(rf"\b{port}\b", free, text)
        return text

    def _correct_files(self) -> None:
        """The port in the files that a command has written."""
        for file in [*self._written.glob("llmgate.yaml"), *self._written.glob("*/llmgate_settings.py")]:
            file.write_text(self._with_ports(file.read_text("utf-8")), "utf-8")
