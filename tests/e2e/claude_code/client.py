"""Claude Code, the real client, run headless by a test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asgi_llmgate.testing.model_script import ReceivedRequest, text_of

if TYPE_CHECKING:
    from tests.e2e.conftest import Lab


@dataclass(frozen=True)
class Run:
    """What one `claude -p` printed: `events` are the messages of its conversation, `report` is the last of them."""

    result: str
    is_error: bool
    report: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    folder: Path


@dataclass(frozen=True)
class ClaudeCode:
    """The binary with a home and a folder of its own.  Calling it is one `claude -p`."""

    binary: Path
    home: Path
    folder: Path

    def __call__(
        self,
        prompt: str,
        *options: str,
        gate: Lab,
        token: str | None = "",
        refusals: int | None = 0,
        timeout: float = 120,
        **env: str,
    ) -> Run:
        """`refusals` is how many requests the gateway may answer with 400, None any number: each starts a ladder of up
        to six tries that leave more and more out, so that what looks like an answer may be a repaired failure.  `env`
        are variables for the client.  Without a `token` it gets a good one, with None none: `options` say whence."""
        before = len(gate.records())
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "ANTHROPIC_BASE_URL": gate.url,
            **({} if token is None else {"ANTHROPIC_AUTH_TOKEN": token or gate.token()}),
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",  # it refuses some modes when root, as in a container
            **env,
        }
        command = [str(self.binary), "-p", prompt, "--output-format", "stream-json", "--verbose", *options]
        events = [json.loads(line) for line in printed_by(command, self.folder, environment, timeout).splitlines()]
        report = events[-1]
        refused = [record for record in gate.records()[before:] if record.get("status") == 400]
        assert refusals is None or len(refused) == refusals, refused
        return Run(report["result"], report["is_error"], report, events, self.folder)


def tool_results(request: ReceivedRequest) -> list[str]:
    """What the model is told that its tools have said, in the order of its calls."""
    return [text_of(message) for message in request.messages if message["role"] == "tool"]


def printed_by(command: list[str], folder: Path, environment: Mapping[str, str], timeout: float) -> str:
    """Standard output of a command that has a process group of its own, which does not outlive it."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, complaints = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)
        printed, complaints = process.communicate()
        raise AssertionError(f"no end after {timeout} s\n{printed}\n{complaints}") from error
    assert printed, complaints
    return printed
