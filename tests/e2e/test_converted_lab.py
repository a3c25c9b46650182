"""The real client at a gateway whose settings were converted from the reference lab's resources."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from asgi_llmgate import Gateway
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.testing.model_server import ModelServer
from tests.cli.convert.lab import convert, lab_files
from tests.e2e.claude_code.client import printed_by


def test_claude_code_with_the_base_url_of_the_lab(
    claude_binary: Path, tmp_path: Path, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-lab")
    idp, model = MockIdP(), ModelServer([say("Hello from the lab.").always()], api_key="sk-lab")
    settings = tmp_path / "llmgate.yaml"
    files = lab_files(tmp_path, idp, host=serve(model).removeprefix("http://"))
    assert convert(*files, "--output", str(settings)).code == 0
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "ANTHROPIC_BASE_URL": serve(Gateway.from_file(settings)),  # without a path, as in the lab
        "DISABLE_AUTOUPDATER": "1",
        "IS_SANDBOX": "1",
    }
    (tmp_path / "home").mkdir()
    said = [
        printed_by(
            [str(claude_binary), "-p", "Say hello."],
            tmp_path,
            environment | {"ANTHROPIC_AUTH_TOKEN": token},
            timeout=120,
        )
        for token in (idp.mint(), idp.mint(team="marketing"))
    ]
    assert said[0].strip() == "Hello from the lab."
    assert "403" in said[1]
    assert "the policy claude-code-rbac does not allow this; ask the team that runs the gateway for access" in said[1]
