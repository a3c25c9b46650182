from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from asgi_llmgate import Exchange, PolicyMiddleware
from asgi_llmgate.cli import main
from asgi_llmgate.exchange_values import Decision
from asgi_llmgate.testing.idp import MockIdP

SAFEGUARDS = Path(__file__).parents[2] / "examples" / "safeguards"
LAB = Path(__file__).parents[2] / "examples" / "lab"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("llmgate.yaml", "policy-tests.yaml"):
        shutil.copy(LAB / name, tmp_path)
    monkeypatch.delenv("OPENAI_MODEL", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_labs_table_passes(lab: Path) -> None:
    said = CliRunner().invoke(main, ["policy", "test", "policy-tests.yaml"])
    assert (said.exit_code, said.stdout) == (0, "7 of 7 passed\n")


def test_a_case_that_fails_is_told_and_is_exit_code_1(lab: Path) -> None:
    file = lab / "policy-tests.yaml"
    file.write_text(file.read_text().replace("expect: deny", "expect: allow", 1))
    said = CliRunner().invoke(main, ["policy", "test", str(file)])
    assert said.exit_code == 1
    assert "another team of the company" in said.stdout
    assert said.stdout.endswith("6 of 7 passed\n")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("policy: {rules: ['jwt.a']}\ntests: [{given: {claims: bob}, expect: allow}]", "bob"),
        ("policy: {rules: ['jwt.a'], ruels: []}\ntests: []", "policy.ruels"),
        (
            "policy: {rules: ['jwt.a']}\ntests: [{given: {}, expect: perhaps}]",
            "tests[0].expect: allow or deny is expected",
        ),
        (
            "policy: {rules: ['jwt.a']}\ntests:\n- given: {}\n  expect: deny\n  given: {claims: {a: true}}",
            "line 5, column 3: the key 'given' is repeated, it is in line 3 too",
        ),
    ],
    ids=["unknown person", "unknown key", "unknown expectation", "repeated key"],
)
def test_a_table_that_cannot_be_read_says_where(lab: Path, document: str, words: str) -> None:
    (lab / "t.yaml").write_text(document)
    said = CliRunner().invoke(main, ["policy", "test", "t.yaml"])
    assert said.exit_code == 1
    assert words in said.stderr


def test_claims_with_a_repeated_name_are_not_explained(lab: Path) -> None:
    (lab / "claims.json").write_text('{"team": "a",\n "team": "b"}')
    said = CliRunner().invoke(main, ["policy", "explain", "--claims", "claims.json"])
    assert said.exit_code == 1
    assert "line 2, column 2: the key 'team' is repeated, it is in line 1 too" in said.stderr


@pytest.mark.parametrize(("team", "verdict"), [("data-platform", "allowed"), ("marketing", "denied")])
def test_explain_shows_what_each_part_comes_to(lab: Path, team: str, verdict: str) -> None:
    (lab / "claims.json").write_text(json.dumps({"org": "acme", "team": team}))
    said = CliRunner().invoke(main, ["policy", "explain", "--claims", "claims.json", "--model", "claude-opus-5"])
    assert said.exit_code == 0, said.output
    assert f"{verdict} by rule 1" in said.stdout
    assert 'jwt.team == "data-platform"' in said.stdout


def test_explain_says_of_several_expressions_whether_any_or_all_must_hold(lab: Path) -> None:
    (lab / "claims.json").write_text(json.dumps({"org": "acme", "team": "research"}))
    settings = (lab / "llmgate.yaml").read_text()
    rules = """policy:
  authorization: {action: Allow, policy: {matchExpressions: ['jwt.team == "data-platform"', 'jwt.org == "acme"']}}
  rules:
    - {name: both, action: require, when: ['jwt.org == "acme"', 'jwt.team == "research"']}
"""
    before, rest = settings.split("policy:\n")
    (lab / "llmgate.yaml").write_text(before + rules + rest[rest.index("backends:") :])
    said = CliRunner().invoke(main, ["policy", "explain", "--claims", "claims.json", "--model", "x"])
    assert "authorization (allow), if any of these is true\n" in said.stdout
    assert "both (require), all of these\n" in said.stdout
    assert "allowed by authorization" in said.stdout


def test_explain_reads_a_token_and_does_not_print_it(lab: Path) -> None:
    token = MockIdP().mint(team="marketing")
    said = CliRunner().invoke(main, ["policy", "explain", "--token", "-", "--model", "x"], input=token)
    assert "denied by rule 1" in said.stdout
    assert token not in said.stdout


def test_explain_names_the_claim_that_is_missing(lab: Path) -> None:
    (lab / "claims.json").write_text('{"org": "acme"}')
    said = CliRunner().invoke(main, ["policy", "explain", "--claims", "claims.json", "--model", "x"])
    assert "jwt.team is missing" in said.stdout


def test_explain_wants_claims_or_a_token_but_not_both(lab: Path) -> None:
    assert CliRunner().invoke(main, ["policy", "explain", "--model", "x"]).exit_code == 2
    assert CliRunner().invoke(main, ["policy", "explain", "--token", "-"], input="not.a-token").exit_code == 1


@pytest.mark.parametrize(
    ("team", "last"),
    [
        ("marketing", "denied by rule 1, before the body is read\n"),
        ("data-platform", "denied by rule 1 (jwt.llms is missing)\n"),
    ],
)
def test_explain_says_when_nothing_of_the_body_is_needed_to_deny(lab: Path, team: str, last: str) -> None:
    (lab / "claims.json").write_text(json.dumps({"org": "acme", "team": team}))
    settings = (lab / "llmgate.yaml").read_text()
    before, rest = settings.split("policy:\n")
    rule = "policy: {rules: ['jwt.team == \"data-platform\" && llm.model in jwt.llms.openai']}\n"
    (lab / "llmgate.yaml").write_text(before + rule + rest[rest.index("backends:") :])
    said = CliRunner().invoke(main, ["policy", "explain", "--claims", "claims.json", "--model", "x"])
    assert said.stdout.endswith(last)


def test_a_denial_before_the_body_that_the_body_would_undo_is_a_failure(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(layer: PolicyMiddleware, scope: Any, exchange: Exchange) -> None:
        exchange.decision = Decision(False, "rule 1")

    monkeypatch.setattr(PolicyMiddleware, "decide_before_body", wrong)
    tested = CliRunner().invoke(main, ["policy", "test", "policy-tests.yaml"])
    (lab / "claims.json").write_text(json.dumps({"org": "acme", "team": "data-platform"}))
    explained = CliRunner().invoke(main, ["policy", "explain", "--claims", "claims.json", "--model", "x"])
    assert (tested.exit_code, explained.exit_code) == (1, 1)
    words = "'rule 1' denies a request early that is allowed with its body"
    assert words in tested.stdout
    assert words in explained.stderr


@pytest.fixture
def safeguards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("llmgate.yaml", "tests.yaml"):
        shutil.copy(SAFEGUARDS / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_rules_about_tool_calls_pass_their_table(safeguards: Path) -> None:
    said = CliRunner().invoke(main, ["policy", "test", "tests.yaml"])
    assert said.exit_code == 0, said.output
    assert re.fullmatch(r"(\d{3,}) of \1 passed\n", said.output)


def test_each_example_rule_about_tool_calls_is_tested(safeguards: Path) -> None:
    rules = {each["name"] for each in yaml.safe_load(Path("llmgate.yaml").read_text())["safeguards"]["rules"]}
    tests = yaml.safe_load(Path("tests.yaml").read_text())["tests"]
    assert rules == {each["expect"]["rule"] for each in tests if isinstance(each["expect"], dict)}


def test_the_example_rules_do_not_flag_a_long_file_that_the_shell_writes(safeguards: Path) -> None:
    command = "cat > notes.md <<'E'\n" + "A line of a long file, as models write them.\n" * 300 + "E"
    Path("tests.yaml").write_text(json.dumps({"tests": [{"given": {"command": command}, "expect": "undecided"}]}))
    said = CliRunner().invoke(main, ["policy", "test", "tests.yaml"])
    assert said.output == "1 of 1 passed\n"


def test_one_file_has_cases_of_both_kinds(safeguards: Path) -> None:
    Path("tests.yaml").write_text(
        "tests:\n- {given: {}, expect: allow}\n- {given: {command: env}, expect: pass}\n- {given: {}, expect: deny}\n"
    )
    said = CliRunner().invoke(main, ["policy", "test", "tests.yaml"])
    assert said.exit_code == 1
    assert said.output == (
        "- test 2: expected pass, got flag by 'no-dump-of-the-environment'\n"
        "- test 3: expected deny, got allow\n1 of 3 passed\n"
    )


def test_a_case_of_a_tool_call_needs_rules_about_them(lab: Path) -> None:
    Path("t.yaml").write_text("tests: [{given: {command: ls}, expect: pass}]")
    said = CliRunner().invoke(main, ["policy", "test", "t.yaml"])
    assert said.exit_code == 1
    assert "safeguards: there are no rules about tool calls" in said.stderr


EXPLAINED = [
    (["--command", "kubectl --context prod get"], "flag by no-production-cluster: production is changed"),
    (["--command", "make"], "undecided\n"),
    (["--tool", "Read"], "pass by reading\n"),
    (["--tool", "mcp__x__y", "--input", '{"a": 1}'], "flag by known-mcp-servers: this MCP server"),
]


@pytest.mark.parametrize(("options", "words"), EXPLAINED)
def test_explain_shows_the_rules_about_a_tool_call(safeguards: Path, options: list[str], words: str) -> None:
    Path("claims.json").write_text("{}")
    said = CliRunner().invoke(main, ["policy", "explain", "--claims", "claims.json", *options])
    assert said.exit_code == 0, said.output
    assert words in said.output
    assert "reading (pass)\n" in said.output
