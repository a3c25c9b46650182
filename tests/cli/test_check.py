from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from asgi_llmgate.cli import main
from asgi_llmgate.testing.idp import MockIdP

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


RULE = {"name": "a", "outcome": "flag", "when": 'tool.name == "Bash"'}


@pytest.mark.parametrize(
    ("safeguards", "told"),
    [
        ({"rules": [RULE]}, "rules: 1, then the client"),
        (
            {"rules": [RULE, {**RULE, "name": "b", "mode": "dry_run"}], "undecided": "pass"},
            "rules: 1 (1 in dry run), then a call passes",
        ),
        ({"classifier": {"use": ["vllm/a", "vllm/b"]}}, "rules: 0, then the classifier vllm/a, then vllm/b"),
    ],
)
def test_who_decides_about_tool_calls_is_told(config: Path, safeguards: Any, told: str) -> None:
    config.write_text(f"{SETTINGS}safeguards: {json.dumps(safeguards)}\n")
    said = CliRunner().invoke(main, ["check", "--config", str(config)])
    assert f"  tool calls: {told}" in said.stdout.splitlines()


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
    assert said.exit_code == 1
    assert said.stderr.splitlines()[0] == (
        "nowhere.yaml: error: cannot be read: No such file or directory "
        "(change to the folder of the file; `llmgate init` writes a first one)"
    )


MANY = """\
auth: {mode: "off"}
policy: {rules: ['jtw.team == "x"', 'jwt.a == 1']}
backends:
  openai: {base_url: "https://${NO_SUCH_HOST}/v1", api_key: env:NO_SUCH_KEY, dialekt: openai}
models:
  - {match: "*", use: opnai/gpt, max_output_tokens: "${NO_SUCH_LIMIT}"}
secret: file:no-such-file
"""


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without the secrets."""
    for name in ("NO_SUCH_HOST", "NO_SUCH_KEY", "NO_SUCH_LIMIT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("bare")
def test_all_mistakes_are_told_in_one_run_and_missing_secrets_are_warnings(config: Path) -> None:
    config.write_text(MANY)
    said = CliRunner().invoke(main, ["check", "--config", str(config)])
    assert said.exit_code == 1
    assert said.stdout == ""
    told = [line.removeprefix(f"{config}:") for line in said.stderr.splitlines()]
    assert [line.split(" (")[0] for line in told] == [
        "1:8: warning: auth.mode: no token is checked, and every caller is anonymous",
        "2:19: error: policy.rules[0]: unknown variable 'jtw', did you mean 'jwt'?",
        '    jtw.team == "x"',
        "    ^",
        "4:12: warning: backends.openai.base_url: the environment variable NO_SUCH_HOST is not set",
        "4:52: warning: backends.openai.api_key: the environment variable NO_SUCH_KEY is not set",
        "4:78: error: backends.openai.dialekt: unknown key",
        "6:18: error: models[0].use: no backend is named 'opnai'",
        "6:34: warning: models[0].max_output_tokens: the environment variable NO_SUCH_LIMIT is not set",
        "6:34: error: models[0].max_output_tokens: must be a whole number, not a text",
        "7:1: warning: secret: the secret in no-such-file cannot be read: No such file or directory",
        "4 errors, 5 warnings",
    ]


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("options", "code", "severity", "last"),
    [([], 0, "warning", "3 warnings"), (["--strict"], 1, "error", "2 errors, 1 warning")],
)
def test_a_machine_without_secrets_can_check(
    config: Path, options: list[str], code: int, severity: str, last: str
) -> None:
    without = "base_url: '${NO_SUCH_HOST}', api_key: env:NO_SUCH_KEY"
    config.write_text(SETTINGS.replace('base_url: "https://api.openai.test/v1"', without))
    said = CliRunner().invoke(main, ["check", "--config", str(config), *options])
    assert said.exit_code == code, said.output
    assert (f"{config}: good" in said.stdout) is (code == 0)
    for name in ("NO_SUCH_HOST", "NO_SUCH_KEY"):
        assert re.search(rf":5:\d+: {severity}: backends\.openai\.\w+: .*{name} is not set", said.stderr)
    assert said.stderr.splitlines()[-1] == last


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--colour"], "No such option"),
        (["other.yaml"], "a file of settings is --config other.yaml"),
    ],
)
def test_a_wrong_command_line_is_another_exit_code(config: Path, arguments: list[str], words: str) -> None:
    said = CliRunner().invoke(main, ["check", "--config", str(config), *arguments])
    assert said.exit_code == 2
    assert words in said.stderr


@pytest.mark.usefixtures("bare")
def test_json_has_the_findings_and_the_description(config: Path) -> None:
    good = CliRunner().invoke(main, ["check", "--config", str(config), "--json", "qwen"])
    assert good.exit_code == 0
    document = json.loads(good.stdout)
    assert (document["file"], document["errors"], document["warnings"]) == (str(config), 0, 1)
    assert document["description"][0] == "callers: anybody (auth.mode: off)"
    assert document["description"][-1].startswith("qwen: qwen at vllm")
    config.write_text(MANY)
    bad = CliRunner().invoke(main, ["check", "--config", str(config), "--json"])
    assert (bad.exit_code, bad.stderr) == (1, "")
    document = json.loads(bad.stdout)
    assert (document["errors"], document["warnings"], document["description"]) == (4, 5, [])
    assert document["findings"][-1] == {
        "severity": "warning",
        "message": "the secret in no-such-file cannot be read: No such file or directory",
        "path": "secret",
        "file": str(config),
        "line": 7,
        "column": 1,
    }


FILES: list[tuple[bytes | None, str]] = [
    (None, " error: cannot be read: Is a directory"),
    (b"", " error: is empty"),
    (b"# only a comment\n", " error: is empty"),
    (b"- a\n", " error: holds no mapping at its top level (it begins with a key, such as models:)"),
    (b"just words\n", " error: holds no mapping at its top level (it begins with a key, such as models:)"),
    (b"a: \xff\n", "1:4: error: is not UTF-8: line 1"),
    ("a: 1".encode("utf-16"), " error: is UTF-16; save it as UTF-8"),
    (b"a: 1\n\tb: 2\n", "2:1: error: not valid YAML: found character '\\t' that cannot start any token "
     "(indent with spaces, not with tabs)"),
    (b"models:\n  - {match: *, use: x}\n", "2:14: error: not valid YAML: expected alphabetic or numeric character, but "
     "found ',' (a text that begins with * or & stands in quotes: \"*\")"),
    (b"a: b: c\n", "1:5: error: not valid YAML: mapping values are not allowed here "
     "(a text with a colon and a space in it stands in quotes)"),
    (b"a: 'x\n", "2:1: error: not valid YAML: found unexpected end of stream (a quote or a bracket is not closed)"),
    (b"a: [1, 2\n", "2:1: error: not valid YAML: expected ',' or ']', but got '<stream end>' "
     "(a bracket is not closed)"),
    (b"a: 1\n  b: 2\n", "2:4: error: not valid YAML: mapping values are not allowed here "
     "(a text with a colon and a space in it stands in quotes)"),
    (b"a: @x\n", "1:4: error: not valid YAML: found character '@' that cannot start any token "
     "(a text that begins with this character stands in quotes)"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "words"), FILES, ids=[words for _, words in FILES])
def test_a_file_that_cannot_be_read_is_told_in_words(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "llmgate.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    said = CliRunner().invoke(main, ["check", "--config", str(path)])
    assert said.exit_code == 1
    assert said.stderr.splitlines() == [f"{path}:{words}", "1 error"]


def test_repeated_keys_are_all_told_with_the_rest(config: Path) -> None:
    config.write_text(SETTINGS + "policy: {}\nnet: {proxi: none, proxi: none}\nauth: {mode: strikt}\n")
    said = CliRunner().invoke(main, ["check", "--config", str(config)])
    told = [line.removeprefix(f"{config}:").split(": error: ") for line in said.stderr.splitlines()[:-1]]
    assert told[0] == ["11:1", "the key 'policy' is repeated, it is in line 3 too"]
    assert [place for place, _ in told] == ["11:1", "11:1", "12:20", "12:20", "13:1", "13:8"]


def test_repeated_keys_come_before_a_mistake_of_syntax(config: Path) -> None:
    config.write_text("a: 1\nb: {c: 1, c: 2}\nd: [1\n")
    said = CliRunner().invoke(main, ["check", "--config", str(config)])
    assert [line.split(":")[1] for line in said.stderr.splitlines()[:-1]] == ["2", "4"]


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ("jwt.a != 'x'", "3:32"),
        ("!(jwt.team in ['x'])", "3:26"),
        ("jwt.a.matches('x')", "3:40"),
    ],
)
def test_what_a_rule_may_not_mean_is_a_warning_at_its_place(config: Path, rule: str, place: str) -> None:
    config.write_text(SETTINGS.replace("""['jwt.team == "x"']""", f'[jwt.b, "{rule}"]'))
    said = CliRunner().invoke(main, ["check", "--config", str(config)])
    assert said.exit_code == 0
    assert re.search(rf":{place}: warning: policy\.rules\[1\]: ", said.stderr), said.stderr


@pytest.mark.parametrize("option", ["--color", "--no-color"])
def test_colours_can_be_asked_for(config: Path, option: str) -> None:
    said = CliRunner().invoke(main, ["check", "--config", str(config), option], color=True)
    assert ("\x1b[33m\x1b[1mwarning:" in said.stderr) is (option == "--color")
    assert "\x1b" not in said.stdout


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours_are_for_a_terminal(config: Path, no_color: str, coloured: bool) -> None:
    """A real one."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from asgi_llmgate.cli import main; main()", "check", "--config", str(config)]
    environment = {**os.environ, "NO_COLOR": no_color}
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        ran = subprocess.run(command, stderr=theirs, stdout=subprocess.PIPE, env=environment, check=False)
        os.close(theirs)
        assert ran.returncode == 0
        assert (b"\x1b[" in terminal.read(10_000)) is coloured
    assert b"\x1b[" not in ran.stdout


def test_help_lists_the_commands() -> None:
    said = CliRunner().invoke(main, ["--help"]).stdout
    assert all(name in said for name in ("demo", "serve", "check", "mint", "jwks", "policy"))


IDP = MockIdP(issuer="https://sso.acme.test/realms/acme", audience="account")


@pytest.fixture
def gate(tmp_path: Path) -> list[str]:
    """The command for settings with a Keycloak whose keys are in a file."""
    (tmp_path / "jwks.json").write_text(json.dumps(IDP.jwks))
    provider = f'{{preset: keycloak, issuer: "{IDP.issuer}", audiences: [llm], jwks: {{file: jwks.json}}}}'
    path = tmp_path / "llmgate.yaml"
    path.write_text(SETTINGS.replace('{mode: "off"}', f"{{providers: [{provider}]}}"))
    return ["check", "--config", str(path), "--token"]


@pytest.mark.parametrize("form", ["{}", "{}\n", "Bearer {}\n"])
def test_a_good_token_passes_each_check(gate: list[str], form: str) -> None:
    token = IDP.mint(aud="llm")
    said = CliRunner().invoke(main, [*gate, "-"], input=form.format(token))
    assert said.exit_code == 0, said.output
    checks = [line.split()[0] for line in said.stdout.splitlines()]
    assert checks == ["ok"] * 11
    assert f"ok      issuer        '{IDP.issuer}': provider keycloak" in said.stdout
    assert "kid 'claude-code-key'" in said.stdout
    assert token.rpartition(".")[2] not in said.output


def test_a_bad_token_is_explained_with_the_providers_habit_and_without_the_token(gate: list[str]) -> None:
    token = IDP.mint()
    said = CliRunner().invoke(main, [*gate, "-"], input=token)
    assert said.exit_code == 1
    failed = said.stdout.splitlines()[7:10]
    assert [line.split("  ")[0] for line in failed[:1]] == ["FAILED"]
    assert "aud 'account', accepted: ['llm']" in failed[0]
    assert failed[1].strip() == "authentication failure: wrong audience"
    assert failed[2].strip() == 'Keycloak: aud is "account" until the client has an audience mapper'
    assert token.rpartition(".")[2] not in said.output


@pytest.mark.parametrize(
    ("argument", "given", "told"),
    [
        (IDP.mint(), "", "can see a command line"),
        ("-", "", "must hold exactly one token"),
        ("-", "two tokens\n", "must hold exactly one token"),
        ("-", "t\u00f6ken", "must hold exactly one token"),
    ],
    ids=["in the command", "none", "two", "not ascii"],
)
def test_a_token_is_not_taken_from_elsewhere(gate: list[str], argument: str, given: str, told: str) -> None:
    said = CliRunner().invoke(main, [*gate, argument], input=given)
    assert said.exit_code != 0
    assert told in said.output
    assert argument == "-" or argument not in said.output


def test_keys_that_cannot_be_had_are_told_apart_from_a_bad_token(gate: list[str]) -> None:
    Path(gate[2]).write_text(Path(gate[2]).read_text().replace("file: jwks.json", "url: 'http://127.0.0.1:1/jwks'"))
    said = CliRunner().invoke(main, [*gate, "-"], input=IDP.mint(aud="llm"))
    assert said.exit_code == 1
    assert "FAILED  signing keys" in said.stdout
    assert "http://127.0.0.1:1/jwks" in said.stdout


@pytest.mark.parametrize(
    "address", ["https://bob:pa55@gpu.test/v1", "https://gpu.test/v1?key=pa55", "https://pa55@gpu.test"]
)
def test_addresses_are_shown_without_credentials(config: Path, address: str) -> None:
    config.write_text(SETTINGS.replace("http://gpu-1:8000/v1", address))
    said = CliRunner().invoke(main, ["check", "--config", str(config), "claude-opus-5", "qwen"])
    assert said.exit_code == 0, said.output
    assert "https://gpu.test" in said.output
    assert "pa55" not in said.output


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("http://gpu-1:8000/v1", "ftp://bob:pa55@gpu.test"),
        ("http://gpu-1:8000/v1", "bob:pa55@gpu.test"),
        ("http://gpu-1:8000/v1", "gpu.test?key=pa55"),
        ("auth: {mode", "net: {proxy: 'ftp://bob:pa55@gpu.test'}\nauth: {mode"),
        ("auth: {mode", "net: {proxy: 'socks5://pa55@gpu.test'}\nauth: {mode"),
        ("auth: {mode", "usage: {ledger: {url: 'mysql://bob:pa55@gpu.test/x'}}\nauth: {mode"),
        ("auth: {mode", "usage: {ledger: {url: 'bob:pa55@gpu.test/x'}}\nauth: {mode"),
        ("auth: {mode", "auth: {providers: [{issuer: i, audiences: [a], jwks: {url: 'http://pa55@gpu.test'}}], mode"),
        ("auth: {mode", "auth: {providers: [{issuer: i, audiences: [a], discovery_url: 'http://pa55@gpu.test'}], mode"),
        (
            "auth: {mode",
            "auth: {providers: [{issuer: i, audiences: [a], introspection: "
            "{url: 'http://pa55@gpu.test', client_id: g}}], mode",
        ),
        (
            "https://api.openai.test/v1",
            "https://x.test', api_key: {client_credentials: "
            "{token_url: 'http://pa55@gpu.test', client_id: g}}, provider: 'x",
        ),
        ('dialect: vllm', "dialect: vllm, api_key: 'pa55'"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_address_is_told_without_its_credentials(config: Path, old: str, new: str) -> None:
    text = SETTINGS.replace('base_url: "https://api.openai.test/v1"', "base_url: 'https://api.openai.test/v1'")
    assert old in text
    config.write_text(text.replace(old, new))
    said = CliRunner().invoke(main, ["check", "--config", str(config)])
    assert said.exit_code == 1, said.output
    assert "pa55" not in said.output
