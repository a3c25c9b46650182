"""What `llmgate doctor` says that Claude Code shows is what Claude Code shows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asgi_llmgate import Gateway, mount
from asgi_llmgate.cli import main
from asgi_llmgate.cli.doctor.asking import Answer
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_server import ModelServer
from tests.e2e.claude_code.client import printed_by

pytestmark = pytest.mark.suites

MODEL = "qwen3-coder"
WORDS = "words of the gateway"
NOT_SOON = {"retry-after": "300"}
STATUSES: dict[int, tuple[str, dict[str, str]]] = {
    400: ("invalid_request_error", {}),
    401: ("authentication_error", {"x-should-retry": "false"}),
    402: ("billing_error", {"x-should-retry": "false"}),
    403: ("permission_error", NOT_SOON),
    404: ("not_found_error", {}),
    413: ("request_too_large", {}),
    421: ("invalid_request_error", {}),
    429: ("rate_limit_error", NOT_SOON),
    502: ("api_error", {"x-should-retry": "false"}),
    529: ("overloaded_error", {}),
}


@pytest.fixture
def result_of(claude_binary: Path, tmp_path: Path) -> Callable[[str, str], str]:
    """`result_of(base URL, token)`: what Claude Code prints for one question, with one retry."""

    def run(url: str, token: str = "a-token") -> str:
        home, work = tmp_path / "home", tmp_path / "work"
        home.mkdir(exist_ok=True)
        work.mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_AUTH_TOKEN": token,
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
            "CLAUDE_CODE_MAX_RETRIES": "1",
        }
        command = [str(claude_binary), "-p", "Say hello.", "--model", MODEL, "--output-format", "json"]
        report: Any = json.loads(printed_by(command, work, environment, 120))
        return str((report[-1] if isinstance(report, list) else report)["result"])

    return run


@pytest.mark.parametrize("status", STATUSES)
def test_each_status(serve: Callable[..., str], result_of: Callable[..., str], status: int) -> None:
    kind, headers = STATUSES[status]

    async def refuse(request: Request) -> JSONResponse:
        error = {"type": "error", "error": {"type": kind, "message": WORDS}}
        return JSONResponse(error, status, headers) if request.method == "POST" else JSONResponse({})

    url = serve(Starlette(routes=[Route("/{path:path}", refuse, methods=["GET", "HEAD", "POST"])]))
    assert Answer(status, error=WORDS).shown(MODEL) in result_of(url)


def test_a_wrong_key_of_the_model_server(
    serve: Callable[..., str], result_of: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor before, and a developer after the same settings are served."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MODEL_KEY", "sk-of-another-server")
    idp = MockIdP()
    settings = {
        "auth": {"providers": [{"issuer": idp.issuer, "audiences": [idp.audience], "jwks": {"inline": idp.jwks}}]},
        "policy": {"rules": ['jwt.team == "data-platform"']},
        "backends": {"main": {"base_url": serve(ModelServer(api_key="sk-right")) + "/v1", "api_key": "env:MODEL_KEY"}},
        "models": [{"match": MODEL, "use": "main/gpt-4o-mini"}],
    }
    path = tmp_path / "llmgate.yaml"
    path.write_text(yaml.safe_dump(settings))
    command = ["doctor", "--json", "--token", "-", "--config", str(path)]
    printed = CliRunner().invoke(main, command, input=idp.mint(), catch_exceptions=False).stdout
    shown = {step["shown"] for step in json.loads(printed)["steps"] if step["state"] == "error"}
    url = serve(mount(Starlette(), "/llm", Gateway.from_file(path))) + "/llm"
    result = result_of(url, idp.mint())
    assert len(shown) == 1
    assert shown.pop() in result
