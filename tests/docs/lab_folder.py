"""Where a block is run: the lab in a folder of its own, with a model server behind it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from asgi_llmgate import Gateway
from asgi_llmgate.testing.driver import call
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import serving
from tests.docs.shell import run_block

ASK = {
    "model": "claude-opus-5-5",
    "max_tokens": 128,
    "messages": [{"role": "user", "content": "In one sentence, what is an API gateway?"}],
}


@dataclass(frozen=True)
class Place:
    """A folder with the lab's files and keys; the environment names a scripted model server as the lab's model."""

    folder: Path
    model: ModelServer
    idp: MockIdP
    stack: ExitStack
    request: pytest.FixtureRequest

    def sh(self, text: str, **environment: str) -> str:
        """What bash prints when it runs this, stopping at the first command that fails."""
        return run_block(text, self.folder, os.environ | environment, timeout=60).stdout

    def serve_lab(self) -> str:
        """The URL of the lab's own app.py."""
        spec = importlib.util.spec_from_file_location("lab_app", self.folder / "app.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return self.stack.enter_context(serving(module.app))

    def install_claude(self) -> None:
        """Puts a `claude` on the PATH that, called without arguments, asks one question and ends."""
        binary = self.request.getfixturevalue("claude_binary")
        script = self.folder / "bin" / "claude"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\n[ $# -gt 0 ] || set -- -p "Say hello."\nexec {binary} "$@"\n')
        script.chmod(0o755)
        os.environ["PATH"] = f"{script.parent}:{os.environ['PATH']}"

    def settings(self, **change: Any) -> dict[str, Any]:
        """The lab's, read as YAML, with some sections replaced."""
        return yaml.safe_load((self.folder / "llmgate.yaml").read_text()) | change

    async def ask(self, settings: dict[str, Any], **claims: Any) -> int:
        """The status that a gateway with these settings answers to a caller with these claims."""
        (self.folder / "llmgate.yaml").write_text(yaml.safe_dump(settings))
        headers = {"authorization": f"Bearer {self.idp.mint(**claims)}"}
        async with Gateway.from_file("llmgate.yaml") as gateway:
            return (await call(gateway, "POST", "/v1/messages", json=ASK, headers=headers)).status


Runner = Callable[[str, Place], Any]


class Runners(dict[str, Runner]):
    """Block's name -> what runs it.

    @RUNNERS.runs("settings")
    def settings_as_shown(text, place): ...
    """

    def runs(self, *names: str) -> Callable[[Runner], Runner]:
        def register(runner: Runner) -> Runner:
            self.update(dict.fromkeys(names, runner))
            return runner

        return register
