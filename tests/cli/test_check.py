from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from asgi_llmgate.cli import main

SETTINGS = """
auth: {mode: "off"}
policy: {rules: ['jwt.team == "x"']}
backends:
  openai: {base_url: "https://api.openai.test/v1"}
  vllm: {dialect: vllm, base_url: "http://gpu-1:8000/v1"}
models:
  - {match: "claude-*", when: 'jwt.team == "research"', use: vllm/big}
  - {match: "claude-*", use: openai/gpt-4o-mini, max_output_tokens: 100}
  - {match: qwen, use: [vllm, openai/gpt-4o-mini]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "llmgate.yaml"
    path.write_text(SETTINGS)
    return path


def test_good_settings_are_explained(config: Path) -> None:
    said = CliRunner().invoke(main, ["check", "--config", str(config), "claude-opus-5", "qwen", "gpt-9"])
    assert said.exit_code == 0, said.output
    assert said.stdout.splitlines() == [
        f"{config}: good",
        "  callers: anybody (auth.mode: off)",
        "  models, the first row that fits wins:",
        '    claude-* -> big at vllm (http://gpu-1:8000/v1), when jwt.team == "research"',
        "    claude-* -> gpt-4o-mini at openai (https://api.openai.test/v1), at most 100 tokens out",
        "    qwen -> the asked name at vllm (http://gpu-1:8000/v1), then gpt-4o-mini at openai "
        "(https://api.openai.test/v1)",
        '  claude-opus-5: big at vllm (http://gpu-1:8000/v1), when jwt.team == "research"; else gpt-4o-mini at openai '
        "(https://api.openai.test/v1), at most 100 tokens out",
        "  qwen: qwen at vllm (http://gpu-1:8000/v1), then gpt-4o-mini at openai (https://api.openai.test/v1)",
        "  gpt-9: no row fits: 404",
    ]


MISTAKES = {
    "an unknown key": ('{mode: "off"}', '{mod: "off"}', "auth.mod: unknown key (did you mean mode?)"),
    "an unknown backend": ("use: vllm/big", "use: vlm/big", "models[0].use: no backend is named 'vlm'"),
    "a rule that cannot be read": ('== "x"\'', "== '", "policy.rules[0]"),
    "a misspelt variable": ('jwt.team == "x"\'', 'jtw.team == "x"\'', "jwt"),
    "a condition that cannot be read": ('== "research"', "=== 1", "models[0].when"),
    "a dialect that is none": ("dialect: vllm", "dialect: vlm", "backends.vllm.dialect"),
    "a URL that is none": ('"http://gpu-1:8000/v1"', "gpu-1", "backends.vllm.base_url: not a URL: 'gpu-1'"),
    "no provider": ('{mode: "off"}', "{mode: strict}", "auth.providers"),
    "a key in the file": ("{dialect: vllm,", "{api_key: sk-1234567, dialect: vllm,", "backends.vllm.api_key"),
    "a variable that is not set": ("{dialect: vllm,", '{api_key: "env:NO_SUCH", dialect: vllm,', "NO_SUCH is not set"),
}


@pytest.mark.parametrize(("good", "bad", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_place(config: Path, good: str, bad: str, words: str) -> None:
    assert good in SETTINGS
    config.write_text(SETTINGS.replace(good, bad, 1))
    said = CliRunner().invoke(main, ["check", "--config", str(config)])
    assert said.exit_code == 1
    assert words in said.stderr
    assert "sk-1234567" not in said.output


def test_a_missing_file_is_said() -> None:
    said = CliRunner().invoke(main, ["check", "--config", "nowhere.yaml"])
    assert (said.exit_code, said.stderr) == (1, "Error: cannot read nowhere.yaml: No such file or directory\n")


def test_help_lists_the_commands() -> None:
    said = CliRunner().invoke(main, ["--help"]).stdout
    assert all(name in said for name in ("demo", "serve", "check", "mint", "jwks", "policy"))
