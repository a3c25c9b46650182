from __future__ import annotations

import json
from pathlib import Path

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
    assert said.stderr.splitlines()[0] == "nowhere.yaml: error: cannot be read: No such file or directory"


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
