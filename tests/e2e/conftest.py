"""Real clients against the mounted gateway, each of the parts on a port of its own.

    gate = lab([say("Hello")])                     # the model's script
    run = claude("Say hello.", gate=gate)          # `claude -p`

The model server accepts one key, which only the gateway knows; the gateway accepts the tokens of a mock provider.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_llmgate import Gateway, mount
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import Turn
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import serving

UPSTREAM_KEY = "sk-lab-upstream"
REASON = "only the data platform team may use this model"


@dataclass(frozen=True)
class Lab:
    """The gateway, mounted at /llm of a company's app, and the model behind it, each on a port of its own."""

    url: str
    model: ModelServer
    idp: MockIdP
    log: Path

    def token(self, team: str = "data-platform") -> str:
        return self.idp.mint(team=team)

    def records(self) -> list[dict[str, Any]]:
        """The access log so far."""
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]


@pytest.fixture(scope="session")
def idp() -> MockIdP:
    return MockIdP()


@pytest.fixture
def lab(idp: MockIdP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lab]]:
    """Starts a lab with a script for its model; `settings` are merged over the lab's."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ExitStack() as stack:

        def start(script: Iterable[Turn] = (), *, key: str = UPSTREAM_KEY, **settings: Any) -> Lab:
            model = ModelServer(script, api_key=UPSTREAM_KEY)
            log, key_file = tmp_path / "access.log", tmp_path / "upstream.key"
            key_file.write_text(key, "utf-8")
            provider = {"issuer": "claude-code-lab", "audiences": ["anthropic-api"], "jwks": {"inline": idp.jwks}}
            team = 'jwt.org == "acme" && jwt.team == "data-platform"'
            base_url = stack.enter_context(serving(model)) + "/v1"
            gateway = Gateway.from_settings(
                {
                    "auth": {"mode": "strict", "providers": [provider]},
                    "policy": {"rules": [{"name": "team", "action": "require", "when": team, "reason": REASON}]},
                    "backends": {"openai": {"base_url": base_url, "api_key": f"file:{key_file}"}},
                    "models": [{"match": "*", "use": "openai/gpt-4o-mini", "max_output_tokens": 16384}],
                    "usage": {"access_log": {"format": "json", "file": str(log)}},
                    **settings,
                }
            )
            host = mount(Starlette(routes=[Route("/", _home)]), "/llm", gateway)
            return Lab(stack.enter_context(serving(host)) + "/llm", model, idp, log)

        yield start


async def _home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("the company's own app")


@dataclass(frozen=True)
class Run:
    """What one `claude -p` printed (`report` is its whole JSON), and the folder that it worked in."""

    result: str
    is_error: bool
    report: Mapping[str, Any]
    folder: Path


@pytest.fixture
def claude(claude_binary: Path, tmp_path: Path) -> Callable[..., Run]:
    """Runs Claude Code headless in an empty folder, with a home and an environment of its own."""

    def run(prompt: str, *options: str, gate: Lab, token: str = "", timeout: float = 60) -> Run:
        home, folder = tmp_path / "home", tmp_path / "work"
        home.mkdir()
        folder.mkdir()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "ANTHROPIC_BASE_URL": gate.url,
            "ANTHROPIC_AUTH_TOKEN": token or gate.token(),
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",  # it refuses some modes when root, as in a container
        }
        printed = _run(
            [str(claude_binary), "-p", prompt, "--output-format", "json", *options], folder, environment, timeout
        )
        report = json.loads(printed)
        if isinstance(report, list):
            report = report[-1]
        return Run(report["result"], report["is_error"], report, folder)

    return run


def _run(command: list[str], folder: Path, environment: Mapping[str, str], timeout: float) -> str:
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
