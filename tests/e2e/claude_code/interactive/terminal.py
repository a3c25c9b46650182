"""Claude Code as a person uses it: in a terminal, which tmux keeps."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.helpers.installation import debian_packages

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab

PATIENCE = 20
"""Seconds for which a text is waited for."""


@dataclass(frozen=True)
class Terminal:
    socket: str

    def tmux(self, *command: str) -> str:
        done = subprocess.run(["tmux", "-S", self.socket, *command], capture_output=True, text=True, check=True)
        return done.stdout

    @property
    def screen(self) -> str:
        """What was printed, with what has left the screen at its top."""
        return self.tmux("capture-pane", "-p", "-J", "-S", "-2000")

    def press(self, *keys: str) -> None:
        """Keys by their names in tmux: `Enter`, `Escape`, `C-c`."""
        self.tmux("send-keys", *keys)

    def type(self, line: str) -> None:
        """A line, and Enter when the client has shown it: earlier it would be part of what is pasted."""
        self.tmux("send-keys", "-l", line)
        self.wait_for(line)
        self.press("Enter")

    def say_yes(self, question: str) -> None:
        """Enter, until the question is gone: the client takes no key for an answer in the moment when it asks."""
        self.wait_for(question)
        deadline = time.monotonic() + PATIENCE
        while question in self.screen:
            assert time.monotonic() < deadline, self.screen
            self.press("Enter")
            time.sleep(0.5)

    def wait_for(self, text: str, times: int = 1) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.screen.count(text) < times:
            assert time.monotonic() < deadline, f"no {text!r} on\n{self.screen}"
            time.sleep(0.05)


@contextmanager
def in_a_terminal(claude: ClaudeCode, gate: Lab, *options: str, **env: str) -> Iterator[Terminal]:
    """A session of the client that trusts its folder and has asked all that it asks a new user."""
    debian_packages("tmux")
    known = {"hasCompletedOnboarding": True, "theme": "dark"}
    trusted = {str(claude.folder): {"hasTrustDialogAccepted": True}}
    (claude.home / ".claude.json").write_text(json.dumps({**known, "projects": trusted}))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(claude.home),
        "LANG": "C.UTF-8",
        "ANTHROPIC_BASE_URL": gate.url,
        "ANTHROPIC_AUTH_TOKEN": gate.token(),
        "DISABLE_AUTOUPDATER": "1",
        "IS_SANDBOX": "1",
        **env,
    }
    variables = [f"{name}={value}" for name, value in environment.items()]
    command = shlex.join(["env", "-i", "TERM=tmux-256color", *variables, str(claude.binary), *options])
    terminal = Terminal(str(claude.home / "tmux"))
    size = ["-x", "160", "-y", "50"]
    try:
        terminal.tmux("-f", os.devnull, "new-session", "-d", *size, "-c", str(claude.folder), command)
        terminal.wait_for("❯")
        yield terminal
    finally:
        subprocess.run(["tmux", "-S", terminal.socket, "kill-server"], capture_output=True, check=False)
