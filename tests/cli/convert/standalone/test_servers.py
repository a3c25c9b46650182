"""The providers of a configuration file: address, dialect, key, and one backend for the models that share them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from asgi_llmgate.cli.convert.standalone.servers import PROVIDERS
from tests.cli.convert.lab import convert_text


def file(*models: Any, providers: Any = ()) -> str:
    listed = [{"name": f"m{index}", **model} for index, model in enumerate(models)]
    return yaml.safe_dump({"llm": {"models": listed, "providers": list(providers)}})


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_that_is_known_by_name(provider: str, tmp_path: Path) -> None:
    found = convert_text(tmp_path, file({"provider": provider}))
    base_url, dialect, variable = PROVIDERS[provider]
    key = {"api_key": f"env:{variable}"} if variable else {}
    assert found.settings["backends"] == {provider: {"base_url": base_url, "dialect": dialect, **key}}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"baseUrl": "https://llm.acme.test/v2/"}, {"base_url": "https://llm.acme.test/v2"}),
        ({"hostOverride": "gpu:8000"}, {"base_url": "http://gpu:8000/v1"}),
        ({"hostOverride": "gpu:443", "pathPrefix": "/api"}, {"base_url": "https://gpu/api"}),
        ({"apiKey": "$MY_KEY"}, {"api_key": "env:MY_KEY"}),
        ({"apiKey": "${MY_KEY}"}, {"api_key": "env:MY_KEY"}),
        ({"apiKey": {"file": "key.txt"}}, {"api_key": "file:key.txt"}),
    ],
)
def test_parameters(params: Any, expected: Any, tmp_path: Path) -> None:
    found = convert_text(tmp_path, file({"provider": "openAI", "params": params}))
    assert found.code == 0, found
    assert found.settings["backends"]["openai"].items() >= expected.items()


@pytest.mark.parametrize(
    ("model", "address", "dialect"),
    [
        (
            {"provider": "bedrock", "params": {"awsRegion": "us-east-2"}},
            "https://bedrock-runtime.us-east-2.amazonaws.com/openai/v1",
            "bedrock",
        ),
        ({"provider": "azure", "params": {"azureResourceName": "r"}}, "https://r.openai.azure.com/openai/v1", "azure"),
        ({"provider": "other", "params": {"baseUrl": "http://h/v1"}}, "http://h/v1", "generic"),
    ],
)
def test_other_providers(model: Any, address: str, dialect: str, tmp_path: Path) -> None:
    (backend,) = convert_text(tmp_path, file(model)).settings["backends"].values()
    assert (backend["base_url"], backend["dialect"]) == (address, dialect)


def test_models_that_share_a_server_have_one_backend(tmp_path: Path) -> None:
    shared = [{"name": "p", "provider": "openAI", "params": {"apiKey": "$A", "model": "default"}}]
    models = [
        {"provider": {"reference": "p"}, "params": {"model": "x"}},
        {"provider": {"reference": "p"}},
        {"provider": "openAI", "params": {"apiKey": "$B"}},
    ]
    found = convert_text(tmp_path, file(*models, providers=shared)).settings
    assert {name: each["api_key"] for name, each in found["backends"].items()} == {
        "openai": "env:A",
        "openai-2": "env:B",
    }
    assert [row["use"] for row in found["models"]] == ["openai/x", "openai/default", "openai-2"]


def test_keys_in_the_file_are_not_written(tmp_path: Path) -> None:
    keys = ["sk-one-1234", "sk-two-1234", "sk-one-1234"]
    found = convert_text(tmp_path, file(*({"provider": "openAI", "params": {"apiKey": key}} for key in keys)))
    assert {name: each["api_key"] for name, each in found.settings["backends"].items()} == {
        "openai": "env:OPENAI_API_KEY",
        "openai-2": "env:OPENAI_API_KEY_2",
    }
    assert not any(key in found.text + found.said for key in keys)
    assert "export OPENAI_API_KEY_2='the key that is in " in found.said


def test_a_provider_that_is_not_known(tmp_path: Path) -> None:
    found = convert_text(tmp_path, file({"provider": "copilot"}, {"provider": "openAI"}))
    assert [row["match"] for row in found.settings["models"]] == ["m1"]
    assert "llm.models[0].provider: the provider 'copilot' is not known here" in found.said
