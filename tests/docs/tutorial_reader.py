"""A reader who does what a page says, block by block, in an empty folder.

a file      its first line is a comment with the path (`# app.py`); with `, at the end` it is added to the file
a command   runs in bash; one that serves goes on in the background, on a free port, and later blocks talk to that
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.helpers.server_processes import running, wait_for_output

ADDRESS = "http://127.0.0.1:8080"
"""Where pages serve."""

OPENAI = "https://api.openai.com/v1"
"""Which model server pages name."""

_FILE = re.compile(r"# (?P<path>[\w./-]+\.\w+)(?P<added>, at the end)?\n")


class Reader:
    """`environment` is all that the commands see; `openai` is what is there instead of OpenAI."""

    def __init__(self, folder: Path, stack: ExitStack, environment: Mapping[str, str], openai: str) -> None:
        self._folder = folder
        self._stack = stack
        self._environment = dict(environment)
        self._openai = openai
        self._servers = 0
        self.address = ADDRESS

    def follow(self, blocks: Iterable[tuple[str, str]]) -> list[str]:
        """What each command has printed; `blocks` are language and text."""
        printed = []
        for language, text in blocks:
            if language != "sh":
                self._write(text)
            elif "uvicorn" in text and "pip install" not in text:
                self.address = self._serve(text)
            else:
                printed.append(self._run(text.replace(ADDRESS, self.address)))
        return printed

    def _write(self, text: str) -> None:
        found = _FILE.match(text)
        assert found, f"a file without its path in the first line:\n{text}"
        place = self._folder / found["path"]
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("a" if found["added"] else "w") as file:
            file.write(text.replace(OPENAI, self._openai))

    def _run(self, text: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, text + done.stdout + done.stderr
        return done.stdout

    def _serve(self, command: str) -> str:
        self._servers += 1
        output = self._folder / f"server-{self._servers}.txt"
        words = ["bash", "-c", "exec " + command.strip().replace("--port 8080", "--port 0")]
        process = self._stack.enter_context(running(words, output, self._folder, whole_environment=self._environment))
        return wait_for_output(r"Uvicorn running on (http://\S+)", output, process)
