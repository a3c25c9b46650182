"""A Secret becomes the name of an environment variable; its value appears nowhere."""

from __future__ import annotations

import base64
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cli.convert.kubernetes.resources import backend, resource
from tests.cli.convert.lab import convert_text

LETTERS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=12, max_size=40)


def secret(name: str = "openai-secret", namespace: str = "default", **content: Any) -> str:
    return yaml.safe_dump(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, **content},
        allow_unicode=True,
    )


@settings(max_examples=8)
@given(value=LETTERS, key=st.sampled_from(["Authorization", "token", "a.b"]))
def test_no_value_of_a_secret_is_in_any_output(value: str, key: str) -> None:
    coded = base64.b64encode(value.encode()).decode()
    documents = [
        backend(auth={"secretRef": {"name": "openai-secret", "key": key}}),
        backend(name="inline", auth={"key": value}),
        secret(data={key: coded}),
        secret("other", stringData={key: value, "x": {"deep": [value]}}, immutable=value),
        secret("labelled", metadata={"name": "labelled", "annotations": {"last-applied": value}}),
    ]
    with TemporaryDirectory() as folder:
        found = convert_text(Path(folder), *documents)
        assert found.code == 0, found
        broken = convert_text(Path(folder), *documents, f"stringData: *{value}", f"stringData: !{value} x\nkind: [")
    for output in (found.text, found.said, broken.said):
        assert value not in output
        assert coded not in output


@pytest.mark.parametrize(
    "broken",
    [
        "kind: Secret\nstringData: *sk-1234",
        "kind: Secret\nstringData: {a: !sk-1234 x",
        "kind: Secret\nx: &sk-1234 &sk-1234 x",
    ],
)
def test_no_value_is_in_a_message_about_a_broken_file(broken: str, tmp_path: Path) -> None:
    found = convert_text(tmp_path, broken)
    assert found.code == 1
    assert ".yaml:2:" in found.said
    assert "sk-1234" not in found.said


NAMES = {
    "openai-secret": "OPENAI_API_KEY",
    "anthropic-api-key": "ANTHROPIC_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "my.vllm_credentials": "MY_VLLM_API_KEY",
    "secret": "SECRET_API_KEY",
    "1st-key": "KEY_1ST_API_KEY",
    "ключ": "MODEL_API_KEY",
}


@pytest.mark.parametrize(("name", "variable"), NAMES.items())
def test_the_name_of_the_variable(name: str, variable: str, tmp_path: Path) -> None:
    found = convert_text(tmp_path, backend(auth={"secretRef": {"name": name}}))
    assert found.settings["backends"]["openai"]["api_key"] == f"env:{variable}"
    assert f"export {variable}=" in found.said


def test_two_secrets_have_two_variables_and_one_secret_has_one(tmp_path: Path) -> None:
    refs = [{"name": "a-key"}, {"name": "a-token"}, {"name": "a-key"}, {"name": "a-key", "key": "second"}]
    found = convert_text(
        tmp_path, *(backend(name=f"b{index}", auth={"secretRef": ref}) for index, ref in enumerate(refs))
    )
    keys = [found.settings["backends"][f"b{index}"]["api_key"] for index in range(4)]
    assert keys == ["env:A_API_KEY", "env:A_API_KEY_2", "env:A_API_KEY", "env:A_SECOND"]


def test_a_key_of_another_name_is_read_from_there(tmp_path: Path) -> None:
    found = convert_text(tmp_path, backend(auth={"secretRef": {"name": "s", "key": "api.token"}}))
    assert "'jsonpath={.data.api\\.token}' | base64 -d)" in found.said


def test_a_secret_without_the_key_is_said(tmp_path: Path) -> None:
    found = convert_text(
        tmp_path, backend(auth={"secretRef": {"name": "openai-secret"}}), secret(data={"token": "eA=="})
    )
    assert "the Secret openai-secret has no key 'Authorization'" in found.said


def test_the_header_of_the_key(tmp_path: Path) -> None:
    auth = {"secretRef": {"name": "s"}, "location": {"header": {"name": "X-Api-Key"}}}
    found = convert_text(tmp_path, backend(auth=auth))
    assert found.settings["backends"]["openai"]["dialect"] == {"base": "openai", "key_header": "x-api-key"}


def test_a_token_exchange(tmp_path: Path) -> None:
    exchange = {
        "backendRef": {"group": "agentgateway.dev", "kind": "AgentgatewayBackend", "name": "sts"},
        "path": "/token",
        "audiences": ["model"],
        "scopes": ["a", "b"],
        "clientAuth": {"clientId": "gw", "method": "ClientSecretPost", "secretRef": {"name": "sts-client", "key": "s"}},
    }
    static = resource("AgentgatewayBackend", "sts", {"static": {"host": "sts.acme.test", "port": 443}})
    found = convert_text(tmp_path, backend(auth={"oauthTokenExchange": exchange}), static)
    assert found.settings["backends"]["openai"]["api_key"] == {
        "token_exchange": {
            "token_url": "https://sts.acme.test/token",
            "client_id": "gw",
            "client_secret": "env:STS_CLIENT_API_KEY",
            "client_auth": "post",
            "scope": "a b",
            "audience": "model",
        }
    }


@pytest.mark.parametrize("kind", ["passthrough", "aws", "azure", "gcp", "jwtSign", "crossAppAccess"])
def test_a_credential_without_a_counterpart_is_said(kind: str, tmp_path: Path) -> None:
    found = convert_text(tmp_path, backend(auth={kind: {}}))
    assert f"spec.policies.auth.{kind}: " in found.said.partition("without a counterpart")[2]
    assert "api_key" not in found.settings["backends"]["openai"]


HOSTILE = ["x; rm -rf ~", "$(id)", "`id`", "a'b", 'a"b', "a\nb: c", "a\u2028b", "a\x1b[2Jb", "${HOME}x", "\u202eb"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_neither_a_command_nor_a_setting(name: str, tmp_path: Path) -> None:
    ref = {"name": name, "key": name}
    found = convert_text(tmp_path, backend(name=name, auth={"secretRef": ref}))
    if found.code == 1:
        assert "${NAME}" in found.said  # which settings would read from the environment
        return
    assert set(found.settings) == {"auth", "policy", "backends", "models", "routes"}
    assert all(line.isprintable() for line in (found.text + found.said).splitlines())
    line = next(line for line in found.said.splitlines() if "kubectl" in line)
    inner = line.partition("$(")[2].rpartition(")")[0]
    words = shlex.split(inner)
    assert words[:4] == ["kubectl", "-n", "default", "get"]
    assert words[8:] == ["|", "base64", "-d"]
