"""All parts together: which models are asked, and that one broken part does not hide another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from asgi_llmgate.cli import main
from asgi_llmgate.cli.doctor.examination import Examination, models_of, sample_name
from asgi_llmgate.config.schema import read_settings
from asgi_llmgate.config.sections.models import ModelSettings


def rows(*described: Any) -> list[ModelSettings]:
    return [ModelSettings(match=match, use=use, **more) for match, use, *rest in described for more in (rest or [{}])]


def test_each_model_is_asked_once_at_each_server() -> None:
    table = rows(
        ("claude-opus-*", ["a/big", "b/big"]),
        ("claude-*", "a/big"),
        ("small", "a"),
        ("qwen*", ("a", "b")),
        ("e", "a/text-embedding-3"),
        ("bge-m3", "a"),
    )
    found = [(model.name, model.place, model.asked) for model in models_of("a", table)]
    assert found == [
        ("big", "models[0].use[0]", "claude-opus-5-5"),
        ("small", "models[2].use", "small"),
        ("", "models[3].use[0]", "qwen"),
    ]
    assert [model.place for model in models_of("b", table)] == ["models[0].use[1]", "models[3].use[1]"]
    assert list(models_of("c", table)) == []


@pytest.mark.parametrize(
    ("match", "listed", "name"),
    [
        ("gpt-5", (), "gpt-5"),
        ("*", (), "claude-opus-5-5"),
        ("claude-sonnet-*", (), "claude-sonnet-5"),
        ("claude-*", ("claude-x",), "claude-x"),
        ("qwen*coder", (), "qwencoder"),
    ],
)
def test_a_name_that_the_row_matches(match: str, listed: tuple[str, ...], name: str) -> None:
    assert sample_name(ModelSettings(match=match, use="a", listed=listed)) == name


GOOD = """auth: {mode: "off"}
policy:
  rules: ["request.method == 'POST'"]
backends:
  b: {base_url: "http://127.0.0.1:1/v1", api_key: "env:NO_SUCH_KEY"}
models:
  - {match: x, use: b/m}
"""


def told(tmp_path: Path, text: str, *options: str) -> Any:
    path = tmp_path / "llmgate.yaml"
    path.write_text(text)
    return CliRunner().invoke(main, ["doctor", "--config", str(path), *options], catch_exceptions=False)


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        ("models:", "modells:", "llmgate.yaml:6:1"),
        ("auth: {", "auth: {{", "llmgate.yaml:2:1"),
        ("base_url", "base", "llmgate.yaml:5:7"),
        ("127.0.0.1:1", "${NO_SUCH_HOST}", "NO_SUCH_HOST"),
    ],
)
def test_settings_that_cannot_be_read_are_told_as_check_tells_them(
    tmp_path: Path, good: str, bad: str, words: str
) -> None:
    run = told(tmp_path, GOOD.replace(good, bad, 1))
    assert run.exit_code == 1
    assert words in run.stdout
    assert " ms " not in run.stdout
    assert "error" in run.stdout.splitlines()[-1]


def test_what_check_finds_is_told_once_and_with_what_is_asked(tmp_path: Path) -> None:
    run = told(tmp_path, GOOD.replace("request.method ==", "request.methd =="), "--json")
    document = json.loads(run.stdout)
    assert [(each["path"], each["line"]) for each in document["findings"] if each["severity"] == "error"] == [
        ("policy.rules[0]", 3),
        ("backends.b.api_key", 5),
    ]
    assert document["errors"] == 2
    assert run.exit_code == 1


def test_a_missing_file(tmp_path: Path) -> None:
    run = CliRunner().invoke(main, ["doctor", "--config", str(tmp_path / "nowhere.yaml")])
    assert run.exit_code == 1
    assert "No such file" in run.output
    assert "nowhere.yaml" in run.output


def test_check_online_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "llmgate.yaml"
    path.write_text(
        'auth: {mode: "off"}\npolicy: {default: allow}\nbackends: {b: {base_url: "http://127.0.0.1:1/v1"}}\n'
        "models: [{match: x, use: b/m}]\n"
    )
    lines = [
        CliRunner().invoke(main, [*command, "--config", str(path)]).output.splitlines()
        for command in (["doctor"], ["check", "--online"])
    ]
    plain = [[line.partition(" ms ")[2] or line for line in each] for each in lines]
    assert plain[0] == plain[1]
    assert "backends.b.base_url: nothing listens at 127.0.0.1:1" in plain[0]


async def test_a_defect_in_one_part_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*arguments: Any) -> Any:
        raise RuntimeError("s3cr3t")
        yield

    monkeypatch.setattr("asgi_llmgate.cli.doctor.examination.check_access_log", broken)
    told: list[Any] = []
    settings = read_settings({"auth": {"mode": "off"}, "policy": {"default": "allow"}, "backends": {}, "models": []})
    await Examination(settings, tmp_path, told.append, lambda secret: None).run()
    assert [step.message for step in told] == ["a question failed in the doctor itself: RuntimeError"]
