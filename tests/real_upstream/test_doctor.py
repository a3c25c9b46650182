"""`llmgate doctor` asks real model servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from asgi_llmgate.cli import main

if TYPE_CHECKING:
    from tests.real_upstream.conftest import Server

pytestmark = pytest.mark.real_upstream

Doctor = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """`doctor(server, model)`: the steps by what they say, without what stands in brackets."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def run(server: Server, model: str = "small", *options: str, key: str = "", **backend: Any) -> Any:
        (tmp_path / "key").write_text(key or server.key)
        settings = {
            "auth": {"mode": "off"},
            "policy": {"default": "allow"},
            "backends": {"real": {"base_url": f"{server.url}/v1", "api_key": "file:key", **backend}},
            "models": [{"match": "*", "use": f"real/{model}"}],
        }
        (tmp_path / "llmgate.yaml").write_text(yaml.safe_dump(settings))
        command = ["doctor", "--json", "--config", str(tmp_path / "llmgate.yaml"), *options]
        printed = CliRunner().invoke(main, command, catch_exceptions=False).stdout
        assert server.key not in printed
        return {step["message"].partition(" (")[0]: step for step in json.loads(printed)["steps"]}

    return run


def test_llamacpp(doctor: Doctor, llamacpp: Server) -> None:
    steps = doctor(llamacpp, dialect="llamacpp")
    assert {"small responds", "small streams", "small goes on after the result of a tool"} <= steps.keys()
    (window,) = [step for text, step in steps.items() if "context window" in text]
    assert window["state"] == "error"
    assert "small runs with a context window of 2048 tokens" in window["message"]
    assert "--ctx-size" in window["hint"]
    # The model says always the same, unless a call is demanded of it.
    assert steps["small calls a tool only when it must; Claude Code leaves it the choice"]["state"] == "warning"


def test_its_kind_is_seen(doctor: Doctor, llamacpp: Server) -> None:
    (warning,) = [step for step in doctor(llamacpp, "small", "--no-calls").values() if step["state"] == "warning"]
    assert warning["hint"] == "dialect: llamacpp"


def test_a_wrong_key(doctor: Doctor, llamacpp: Server) -> None:
    errors = [step for step in doctor(llamacpp, key="sk-of-another-server").values() if step["state"] == "error"]
    assert {step["path"] for step in errors} == {"backends.real.api_key", "models"}
    assert errors[0]["shown"].startswith("API Error: 502 ")


@pytest.mark.parametrize("path", ["", "/v1/v1", "/api"])
def test_a_wrong_base_url(doctor: Doctor, llamacpp: Server, path: str) -> None:
    steps = doctor(llamacpp, "small", "--no-calls", base_url=llamacpp.url + path)
    hints = {step.get("hint") for step in steps.values()}
    # llama.cpp serves `/models` at its root, too, but chats under /v1 and at its root alike.
    assert path == "" or f"base_url: {llamacpp.url}/v1" in hints


def test_smollm2_whose_template_has_no_tools(doctor: Doctor, smollm2: Server) -> None:
    steps = doctor(smollm2, dialect="llamacpp")
    (found,) = [step for text, step in steps.items() if "never sees the tools" in text]
    assert found["state"] == "error"
    assert "--chat-template-file" in found["hint"]


def test_a_template_that_refuses_much(doctor: Doctor, strict_template: Server) -> None:
    """It takes the tools; what the model then writes is no call."""
    steps = doctor(strict_template, dialect="llamacpp")
    assert "small streams" in steps
    assert [step for step in steps.values() if step["state"] == "error" and "tool" in step["message"]]


LITELLM = {
    "small": ("warning", "models[0].use", "calls a tool only when it must", ""),
    "mock": ("error", "models[0].use", "does not call the tool", ""),
    "throttled": ("error", "backends.real.api_key", "RateLimitError", "API Error: Request rejected (429)"),
    "overflow": ("error", "models[0].use", "prompt is too long", "API Error: 400 prompt is too long"),
    "failing": ("error", "backends.real.base_url", "InternalServerError", "API Error: 500 "),
    "no-such-model": ("error", "models[0].use", "has no model no-such-model", "There's an issue with the selected"),
}


@pytest.mark.parametrize(("model", "expected"), LITELLM.items(), ids=LITELLM)
def test_litellm(doctor: Doctor, litellm: Server, model: str, expected: tuple[str, ...]) -> None:
    state, path, words, shown = expected
    steps = doctor(litellm, model).values()
    assert [
        step
        for step in steps
        if (step["state"], step["path"]) == (state, path)
        and words in step["message"]
        and step.get("shown", "").startswith(shown)
    ]
