"""Real clients against the mounted gateway, each of the parts on a port of its own.

    gate = lab([say("Hello")])                     # the model's script
    run = claude("Say hello.", gate=gate)          # `claude -p`

The model server accepts one key, which only the gateway knows; the gateway accepts the tokens of a mock provider.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_llmgate import Gateway, mount
from asgi_llmgate.testing import small_model
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import ReceivedRequest, Turn
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import serving
from tests.e2e.claude_code.client import ClaudeCode
from tests.e2e.request_recorder import Witness
from tests.helpers.openai_sdk import read_by_the_sdk, without_extensions

UPSTREAM_KEY = "sk-lab-upstream"
REASON = "only the data platform team may use this model"


@dataclass(frozen=True)
class Lab:
    """The gateway, mounted at /llm of a company's app, and the model behind it, each on a port of its own.

    `asked` is what clients sent to the gateway (`calls`: what they posted), `model.requests` what it made of that.
    """

    url: str
    asked: list[ReceivedRequest]
    model: ModelServer
    idp: MockIdP
    log: Path

    @property
    def calls(self) -> list[ReceivedRequest]:
        return [request for request in self.asked if request.method == "POST"]

    def token(self, team: str = "data-platform") -> str:
        return self.idp.mint(team=team)

    def records(self) -> list[dict[str, Any]]:
        """The access log so far."""
        written = self.log.read_text("utf-8") if self.log.exists() else ""
        return [json.loads(line) for line in written.splitlines()]


@pytest.fixture(scope="session")
def idp() -> MockIdP:
    return MockIdP()


@pytest.fixture
def lab(idp: MockIdP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lab]]:
    """Starts a lab with a script for its model, and maybe a context window in tokens, and what it says when
    the script has no turn; `auth`, `backend`, more `backends` with the same
    server and `settings` are merged over the lab's.

    What the model server was asked is what the official SDK would send.
    """
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    labs: list[Lab] = []
    with ExitStack() as stack:

        def start(
            script: Iterable[Turn] = (),
            *,
            key: str = UPSTREAM_KEY,
            window: int | None = None,
            otherwise: Callable[[ReceivedRequest], Turn] = small_model.respond,
            auth: Mapping[str, Any] | None = None,
            backend: Mapping[str, Any] | None = None,
            backends: Mapping[str, Mapping[str, Any]] | None = None,
            **settings: Any,
        ) -> Lab:
            model = ModelServer(script, api_key=UPSTREAM_KEY, context_window=window, otherwise=otherwise)
            log, key_file = tmp_path / "access.log", tmp_path / "upstream.key"
            key_file.write_text(key, "utf-8")
            provider = {"issuer": "claude-code-lab", "audiences": ["anthropic-api"], "jwks": {"inline": idp.jwks}}
            team = 'jwt.org == "acme" && jwt.team == "data-platform"'
            base_url = stack.enter_context(serving(model)) + "/v1"
            here = {"base_url": base_url, "api_key": f"file:{key_file}"}
            others = {name: {**here, **each} for name, each in (backends or {}).items()}
            gateway = Gateway.from_settings(
                {
                    "auth": {"mode": "strict", "providers": [provider], **(auth or {})},
                    "policy": {"rules": [{"name": "team", "action": "require", "when": team, "reason": REASON}]},
                    "backends": {"openai": {**here, **(backend or {})}, **others},
                    "models": [{"match": "*", "use": "openai/gpt-4o-mini", "max_output_tokens": 16384}],
                    "usage": {"access_log": {"format": "json", "file": str(log)}},
                    **settings,
                }
            )
            host = Witness(mount(Starlette(routes=[Route("/", _home)]), "/llm", gateway))
            labs.append(Lab(stack.enter_context(serving(host)) + "/llm", host.requests, model, idp, log))
            return labs[-1]

        yield start
    for request in (request for each in labs for request in each.model.requests if request.method == "POST"):
        assert read_by_the_sdk(request.body) == without_extensions(request.body)


@pytest.fixture
def lab_before(lab: Callable[..., Lab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Lab]:
    """Starts a lab before another one, which is its model server, as one of Anthropic's is; `settings` as for `lab`."""

    def start(behind: Lab, **settings: Any) -> Lab:
        monkeypatch.setenv("BEHIND", behind.token())
        log = tmp_path / "front.log"
        front = lab(
            backends={
                "anthropic": {
                    "base_url": behind.url + "/v1",
                    "dialect": {"base": "anthropic", "key_header": "authorization"},
                    "api_key": "env:BEHIND",
                }
            },
            models=[{"match": "*", "use": "anthropic"}],
            usage={"access_log": {"file": str(log)}},
            **settings,
        )
        return replace(front, log=log)

    return start


async def _home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("the company's own app")


@pytest.fixture
def claude(claude_binary: Path, tmp_path: Path) -> ClaudeCode:
    """Claude Code in an empty folder, with a home and an environment of its own."""
    home, folder = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    folder.mkdir()
    return ClaudeCode(claude_binary, home, folder)
