"""The lab's resources are converted, checked and served; files in all forms; what is written and what is not."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from asgi_llmgate import Gateway
from asgi_llmgate.cli import main
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.testing.model_server import ModelServer
from tests.cli.convert.lab import LAB, OPEN_SOURCE, RESOURCES, convert, lab_files, lab_text

KEY = "sk-the-key-of-the-lab"
QUESTION = {
    "model": "claude-3-5-sonnet-20241022",
    "max_tokens": 128,
    "messages": [{"role": "user", "content": "In one sentence, what is an API gateway?"}],
}


@pytest.fixture(scope="module")
def idp() -> MockIdP:
    return MockIdP()


@pytest.mark.parametrize("names", [RESOURCES, OPEN_SOURCE], ids=["enterprise", "open source"])
def test_the_lab_is_converted_checked_and_served(
    names: tuple[str, ...],
    idp: MockIdP,
    tmp_path: Path,
    serve: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = ModelServer([say("It manages requests.")], api_key=KEY)
    output = tmp_path / "llmgate.yaml"
    host = serve(model).removeprefix("http://")
    converted = convert(*lab_files(tmp_path, idp, names, host), "--output", str(output), "--strict")
    assert (converted.code, converted.text) == (0, ""), converted

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    checked = CliRunner().invoke(main, ["check", "--config", str(output)])
    assert checked.exit_code == 0, checked.output

    gateway = serve(Gateway.from_file(output))  # at the root, as in the lab
    responses = [ask(gateway, token) for token in ("", idp.mint(team="marketing"), idp.mint())]
    assert [each.status_code for each in responses] == [401, 403, 200]
    assert responses[0].json()["error"]["message"] == "authentication failure: no bearer token found"
    assert "ask the team that runs the gateway" in responses[1].json()["error"]["message"]
    message = responses[2].json()
    assert (message["type"], message["content"][0]["text"]) == ("message", "It manages requests.")
    assert [request.body["model"] for request in model.chats] == ["gpt-4o-mini"]


def ask(gateway: str, token: str) -> httpx.Response:
    headers = {"anthropic-version": "2023-06-01"} | ({"authorization": f"Bearer {token}"} if token else {})
    return httpx.post(f"{gateway}/v1/messages", headers=headers, json=QUESTION, trust_env=False)


def test_what_the_lab_becomes(idp: MockIdP, tmp_path: Path) -> None:
    assert convert(*lab_files(tmp_path, idp)).settings == {
        "auth": {
            "mode": "strict",
            "providers": [
                {"issuer": "claude-code-lab", "audiences": ["anthropic-api"], "jwks": {"inline": idp.jwks}},
            ],
        },
        "policy": {
            "rules": [
                {
                    "name": "claude-code-rbac",
                    "action": "allow",
                    "when": 'jwt.org == "acme" && jwt.team == "data-platform"',
                    "reason": "the policy claude-code-rbac does not allow this; ask the team that runs the gateway "
                    "for access",
                }
            ]
        },
        "backends": {
            "openai": {
                "base_url": "https://api.openai.com/v1",
                "dialect": "openai",
                "api_key": "env:OPENAI_API_KEY",
            }
        },
        "models": [{"match": "*", "use": "openai/gpt-4o-mini"}],
    }


def one_file(folder: Path, idp: MockIdP) -> list[str]:
    path = folder / "all.yaml"
    path.write_text("\n---\n".join(lab_text(name, idp.jwks) for name in RESOURCES) + "\n---\n")
    return [str(path)]


def a_list(folder: Path, idp: MockIdP) -> list[str]:
    items = [lab_text(name, idp.jwks) for name in RESOURCES]
    indented = "".join(
        "  - " + item.split("\n", item.startswith("#"))[-1].replace("\n", "\n    ") + "\n" for item in items
    )
    path = folder / "list.yaml"
    path.write_text(f"apiVersion: v1\nkind: List\nitems:\n{indented}")
    return [str(path)]


@pytest.mark.parametrize("form", [one_file, a_list])
def test_files_in_other_forms(form: Callable[..., list[str]], idp: MockIdP, tmp_path: Path) -> None:
    expected = convert(*lab_files(tmp_path, idp)).settings
    assert convert(*form(tmp_path, idp)).settings == expected


def test_standard_input(idp: MockIdP, tmp_path: Path) -> None:
    expected = convert(*lab_files(tmp_path, idp)).settings
    (path,) = one_file(tmp_path, idp)
    assert convert("-", stdin=Path(path).read_text()).settings == expected


def test_in_any_order(idp: MockIdP, tmp_path: Path) -> None:
    files = lab_files(tmp_path, idp)
    expected = convert(*files).settings
    for order in itertools.islice(itertools.permutations(files), 1, 120, 41):
        assert convert(*order).settings == expected


def test_the_lab_loses_nothing(idp: MockIdP, tmp_path: Path) -> None:
    converted = convert(*lab_files(tmp_path, idp))
    assert "without a counterpart" not in converted.said
    assert f"{tmp_path}/rbac-policy.yaml:22: spec.traffic.authorization -> policy.rules" in converted.said
    assert "spec.listeners[0].port: your app, or llmgate serve --port, has the address" in converted.said


def test_a_file_is_not_replaced(idp: MockIdP, tmp_path: Path) -> None:
    output = tmp_path / "llmgate.yaml"
    output.write_text("mine")
    files = lab_files(tmp_path, idp)
    refused = convert(*files, "--output", str(output))
    assert (refused.code, output.read_text()) == (1, "mine")
    assert "exists; --force replaces it" in refused.said
    assert convert(*files, "--output", str(output), "--force").code == 0
    assert output.read_text().startswith("# Converted")


def test_strict(idp: MockIdP, tmp_path: Path) -> None:
    files = lab_files(tmp_path, idp)
    assert convert(*files, "--strict").code == 0
    backend = tmp_path / "backend.yaml"
    backend.write_text(backend.read_text() + "      promptCaching: {cacheSystem: true}\n")
    assert convert(*files).code == 0
    assert convert(*files, "--strict").code == 1


def test_the_command_that_reads_the_secret_works_in_a_shell(idp: MockIdP, tmp_path: Path) -> None:
    """A kubectl of the test's own answers as the real one does: base64 of what is at that path of the Secret."""
    converted = convert(*lab_files(tmp_path, idp))
    line = next(line for line in converted.said.splitlines() if "export OPENAI_API_KEY" in line)
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        "#!/bin/sh\n"
        'test "$*" = "-n agentgateway-system get secret openai-secret -o jsonpath={.data.Authorization}" || exit 9\n'
        f"printf %s 'Bearer {KEY}' | base64\n"
    )
    kubectl.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    said = subprocess.run(["sh", "-c", f'{line}\nprintf %s "$OPENAI_API_KEY"'], env=environment, capture_output=True)
    assert said.stdout.decode() == KEY, said
    assert f"# {line.strip()}" in converted.text.splitlines()


MISTAKES: dict[str, tuple[str, str]] = {
    "no YAML": ("spec: [", "bad.yaml:1:8: error: not valid YAML: "),
    "a key twice": ("kind: A\nkind: B\n", "bad.yaml:2:1: error: not valid YAML: the key 'kind' is repeated"),
    "a tab": ("kind: Gateway\n\tname: x\n", "bad.yaml:2:1: error: not valid YAML: found character"),
    "a list": ("- a\n- b\n", "bad.yaml:1:1: error: must be a mapping"),
    "a text": ("hello\n", "bad.yaml:1:1: error: must be a mapping"),
    "no kind": ("metadata: {name: x}\n", "bad.yaml:1:1: error: a resource without kind"),
    "a name that is a list": ("kind: Gateway\nmetadata: {name: [x]}\n", "bad.yaml:2:12: error: metadata.name: must be"),
}


@pytest.mark.parametrize(("text", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_broken_file_has_its_place(text: str, words: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(text)
    said = convert(str(bad))
    assert (said.code, said.text) == (1, "")
    assert words in said.said
    assert "bad.yaml" in said.said


def test_files_that_are_not_there_or_empty(tmp_path: Path) -> None:
    assert convert(str(tmp_path / "none.yaml")).said == f"cannot read {tmp_path}/none.yaml: No such file or directory\n"
    assert convert("-", stdin="").said == "the files are empty\n"
    gateway = convert(str(LAB / "gateway.yaml"))
    assert "no AgentgatewayBackend with models" in gateway.said
    assert gateway.code == 1


def test_many_aliases_are_refused_in_time(tmp_path: Path) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{previous}'] * 10)}]\n" for previous, name in itertools.pairwise("abcdefg")
    )
    path = tmp_path / "bomb.yaml"
    path.write_text(bomb)
    assert "values, aliases counted each time" in convert(str(path)).said
    path.write_text("a: &a [" + "x," * 300 + "]\n" + "b: [" + "*a," * 300 + "]\n---\n" + "kind: x\n")
    some = path.read_text()
    path.write_text("\n---\n".join([some] * 3))
    assert "values, aliases counted each time" in convert(str(path)).said


def test_json_is_yaml(idp: MockIdP, tmp_path: Path) -> None:
    """`kubectl get -o json` is fine, too."""
    import yaml

    items: list[Any] = [yaml.safe_load(lab_text(name, idp.jwks)) for name in RESOURCES]
    path = tmp_path / "all.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    assert convert(str(path)).settings == convert(*lab_files(tmp_path, idp)).settings
