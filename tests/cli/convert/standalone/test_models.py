"""Models and virtual models of a configuration file become rows; the real table finds each name's target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.convert.kubernetes.test_authorization import allowed
from tests.cli.convert.kubernetes.test_routes import chosen
from tests.cli.convert.lab import convert_text


def file(models: list[Any], virtual: Any = (), **llm: Any) -> str:
    return yaml.safe_dump({"llm": {"models": models, "virtualModels": list(virtual), **llm}}, sort_keys=False)


def model(name: str, provider: Any = "openAI", **more: Any) -> dict[str, Any]:
    return {"name": name, "provider": provider, **more}


def test_exact_names_come_before_patterns(tmp_path: Path) -> None:
    models = [
        model("*", "ollama"),
        model("claude-*", params={"model": "m1"}),
        model("claude-opus-5", params={"model": "m2"}),
    ]
    found = convert_text(tmp_path, file(models))
    names = {"claude-opus-5": "openai/m2", "claude-haiku-4": "openai/m1", "qwen": "ollama/qwen"}
    assert {name: chosen(found, "/", model=name) for name in names} == names


def test_an_internal_model_is_for_virtual_ones_alone(tmp_path: Path) -> None:
    models = [
        model("cheap", visibility="internal", params={"model": "m1"}),
        model("dear", visibility="internal", params={"model": "m2"}),
    ]
    virtual = [
        {
            "name": "first",
            "routing": {"failover": {"targets": [{"model": "dear", "priority": 2}, {"model": "cheap", "priority": 1}]}},
        },
        {
            "name": "most",
            "routing": {"weighted": {"targets": [{"model": "cheap", "weight": 1}, {"model": "dear", "weight": 9}]}},
        },
        {
            "name": "by-team",
            "routing": {"conditional": {"targets": [{"model": "dear", "when": "jwt.team == 'x'"}, {"model": "cheap"}]}},
        },
        {
            "name": "by-size",
            "routing": {
                "conditional": {"targets": [{"model": "cheap", "when": "llmRequest.max_tokens < 9"}, {"model": "dear"}]}
            },
        },
    ]
    found = convert_text(tmp_path, file(models, virtual))
    assert found.code == 0, found
    assert found.settings["models"] == [
        {"match": "first", "use": ["openai/m1", "openai/m2"]},
        {"match": "most", "use": ["openai/m2", "openai/m1"]},
        {"match": "by-team", "when": "jwt.team == 'x'", "use": "openai/m2"},
        {"match": "by-team", "use": "openai/m1"},
        {"match": "by-size", "when": "llm.maxTokens < 9", "use": "openai/m1"},
        {"match": "by-size", "use": "openai/m2"},
    ]
    assert chosen(found, "/", model="cheap") == ""
    assert "routing.weighted: calls are not spread by weight" in found.said


def test_a_condition_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    targets = [
        {"model": "a", "when": 'default(llmRequest.metadata.tier, "") == "x"'},
        {"model": "gone"},
        {"model": "a"},
    ]
    found = convert_text(
        tmp_path, file([model("a")], [{"name": "v", "routing": {"conditional": {"targets": targets}}}])
    )
    assert found.settings["models"] == [{"match": "v", "use": "openai"}, {"match": "a", "use": "openai"}]
    assert "targets[0].when: the condition cannot be used here" in found.said
    assert "targets[1].model: no model of the file is named 'gone'" in found.said


def test_rules_of_one_model_are_about_that_model(tmp_path: Path) -> None:
    rules = {"rules": [{"require": 'jwt.team == "research"'}]}
    found = convert_text(tmp_path, file([model("opus-*", authorization=rules), model("*")]))
    (rule,) = found.settings["policy"]["rules"]
    assert rule["when"] == '!(llm.requestModel.matches("^opus\\\\-.*$")) || (jwt.team == "research")'
    assert rule["name"] == "model-opus-*"


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (['jwt.team == "a"', 'jwt.team == "b"'], {"a": True, "b": True, "c": False}),
        ([{"require": 'jwt.team != "a"'}, {"require": 'jwt.team != "b"'}], {"a": False, "b": False, "c": True}),
        ([{"deny": 'jwt.team == "a"'}], {"a": False, "b": True}),
        ([{"allow": 'jwt.team in ["a", "b"]'}, {"deny": 'jwt.team == "a"'}], {"a": False, "b": True, "c": False}),
        ([{"deny": "apiKey.group == 'x'"}], {"a": False}),
    ],
)
def test_rules(rules: Any, expected: dict[str, bool], tmp_path: Path) -> None:
    found = convert_text(tmp_path, file([model("*")], policies={"authorization": {"rules": rules}}))
    assert {team: allowed(found, team=team) for team in expected} == expected
    assert all(rule["reason"] for rule in found.settings["policy"]["rules"])
