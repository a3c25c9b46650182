from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from asgi_llmgate.cli import main
from asgi_llmgate.config.checking.advice import advise
from asgi_llmgate.config.schema import read_settings


def advice(backend: dict[str, Any], **row: Any) -> list[str]:
    settings = {
        "auth": {"mode": "off"},
        "backends": {"main": backend},
        "models": [{"match": "a", "use": "main"}, {"match": "*", "use": "main", **row}],
    }
    return list(map(str, advise(read_settings(settings))))


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ({"base_url": "https://api.openai.com"}, "most servers have their API under /v1: https://api.openai.com/v1"),
        ({"base_url": "http://gpu-1:8000/"}, "under /v1: http://gpu-1:8000/v1"),
        ({"base_url": "https://u:s3cr3t@h?key=s3cr3t"}, "under /v1: https://h/v1"),
        ({"base_url": "http://gpu-1:8000/chat/completions"}, "under /v1: http://gpu-1:8000/v1"),
        ({"base_url": "https://api.anthropic.com", "dialect": "anthropic"}, "https://api.anthropic.com/v1"),
        (
            {"base_url": "http://localhost:11434/api"},
            "Ollama's own API; the compatible one is http://localhost:11434/v1",
        ),
        ({"base_url": "http://h:1/api", "dialect": {"base": "ollama"}}, "the compatible one is http://h:1/v1"),
    ],
)
def test_an_address_that_is_probably_wrong_is_told(backend: dict[str, Any], words: str) -> None:
    (line,) = advice(backend)
    assert line.startswith("backends.main.base_url: ")
    assert words in line
    assert "s3cr3t" not in line


@pytest.mark.parametrize(
    "backend",
    [
        {"base_url": "https://api.openai.com/v1"},
        {"base_url": "https://api.deepseek.com", "dialect": "deepseek"},
        {"base_url": "https://x.services.ai.azure.com/models?api-version=1"},
        {"base_url": "https://webui.test/api"},
    ],
)
def test_other_addresses_are_not(backend: dict[str, Any]) -> None:
    assert advice(backend, context_window=48_000) == []


def test_a_window_that_is_too_small_for_claude_code_is_told() -> None:
    (line,) = advice({"base_url": "https://h/v1"}, context_window=32_768)
    assert line.startswith("models[1].context_window: Claude Code needs about 48000 tokens")
    assert "32768" in line


def test_check_prints_it_and_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "llmgate.yaml"
    path.write_text(
        'auth: {mode: "off"}\npolicy: {default: allow}\n'
        'backends: {b: {base_url: "http://h"}}\nmodels: [{match: "*", use: b}]\n'
    )
    said = CliRunner().invoke(main, ["check", "--config", str(path)])
    assert said.exit_code == 0
    assert f"{path}:3:16: warning: backends.b.base_url: it has no path" in said.stderr
