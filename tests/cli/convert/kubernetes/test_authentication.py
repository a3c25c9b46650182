"""`jwtAuthentication`: modes, keys, audiences, and where the token is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asgi_llmgate.cli.convert.kubernetes.authentication import KEY_FILE, UNKNOWN_AUDIENCE
from asgi_llmgate.testing.idp import MockIdP
from tests.cli.convert.kubernetes.resources import backend, policy, resource
from tests.cli.convert.lab import Conversion, convert_text

IDP = MockIdP(algorithm="ES256")


def tokens(folder: Path, *more: str, jwks: Any = None, **jwt: Any) -> Conversion:
    keys = {"inline": json.dumps(IDP.jwks)} if jwks is None else jwks
    provider = {"issuer": "https://idp.test", "audiences": ["m"], "jwks": keys} | jwt.pop("provider", {})
    provider = {name: value for name, value in provider.items() if value is not None}
    section = {"jwtAuthentication": {"providers": [provider], **jwt}}
    return convert_text(folder, backend(), policy(traffic=section), *more)


@pytest.mark.parametrize(
    ("mode", "here"),
    [({}, "strict"), *(({"mode": each}, each.lower()) for each in ("Strict", "Optional", "Permissive"))],
)
def test_a_mode(mode: Any, here: str, tmp_path: Path) -> None:
    assert tokens(tmp_path, **mode).settings["auth"]["mode"] == here


def test_only_the_public_part_of_a_key_is_written(tmp_path: Path) -> None:
    private = dict(IDP.key.as_dict(private=True))
    found = tokens(tmp_path, jwks={"inline": json.dumps({"keys": [private | {"k": "c2VjcmV0"}]})})
    assert found.code == 0, found
    assert found.settings["auth"]["providers"][0]["jwks"] == {"inline": IDP.jwks}
    assert private["d"] not in found.text + found.said
    assert "c2VjcmV0" not in found.text + found.said
    assert "jwks.inline: only the public members of the keys are in the settings" in found.said


@pytest.mark.parametrize("text", ["", "JWKS", "[]", '{"keys": 1}', '{"keys": ["x"]}', "{" * 5000, "5"])
def test_keys_that_are_none(text: str, tmp_path: Path) -> None:
    found = tokens(tmp_path, jwks={"inline": text})
    assert "jwks.inline: not a JSON Web Key Set" in found.said
    assert (found.code, found.text) == (1, "")


def test_without_audiences_nobody_gets_in(tmp_path: Path) -> None:
    found = tokens(tmp_path, provider={"audiences": None})
    assert found.settings["auth"]["providers"][0]["audiences"] == [UNKNOWN_AUDIENCE]
    assert f"(replace {UNKNOWN_AUDIENCE} by the aud of your tokens)" in found.said


SERVICE = {"backendRef": {"name": "idp", "port": 8080}, "jwksPath": "keys"}
STATIC = {"backendRef": {"kind": "AgentgatewayBackend", "name": "idp"}, "jwksPath": "/keys"}


@pytest.mark.parametrize(
    ("remote", "issuer", "expected"),
    [
        ({"url": "https://login.test/keys"}, "x", {"url": "https://login.test/keys"}),
        (STATIC, "x", {"url": "https://idp.internal/keys"}),
        (SERVICE, "https://idp.test", {"discovery": True}),
        (SERVICE, "x", {"file": KEY_FILE}),
        ({}, "https://idp.test", {"discovery": True}),
    ],
)
def test_where_the_keys_are(remote: Any, issuer: str, expected: Any, tmp_path: Path) -> None:
    static = resource("AgentgatewayBackend", "idp", {"static": {"host": "idp.internal", "port": 443}})
    found = tokens(tmp_path, static, jwks={"remote": remote}, provider={"issuer": issuer})
    assert found.settings["auth"]["providers"][0]["jwks"] == expected
    asks_for_a_file = "file" in expected
    assert (found.code == 1) == asks_for_a_file
    assert (
        f"to be corrected in llmgate.yaml: auth.providers[0].jwks.file: cannot read {KEY_FILE}" in found.said
    ) == asks_for_a_file


@pytest.mark.parametrize(
    ("jwt", "words"),
    [
        ({"mode": "Lax"}, "jwtAuthentication.mode: unknown mode 'Lax'"),
        ({"provider": {"issuer": ""}}, "providers[0]: no issuer"),
        ({"provider": {"audiences": "m"}}, "providers[0].audiences: must be a list"),
    ],
)
def test_a_mistake_has_its_place(jwt: Any, words: str, tmp_path: Path) -> None:
    found = tokens(tmp_path, **jwt)
    assert (found.code, found.text) == (1, "")
    assert "/1.yaml:" in found.said
    assert words in found.said
