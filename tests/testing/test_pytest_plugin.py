"""The fixtures for people's own tests, in a pytest of their own: plain, and with each plugin for async tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from asgi_llmgate import SettingsError
from asgi_llmgate.config.schema import read_settings
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.pytest_plugin import with_mocks
from tests.docs.code_blocks import BLOCKS
from tests.helpers.distribution.wheel import installed, newcomer
from tests.helpers.installation import CONSTRAINTS, pip_install

pytest_plugins = ["asgi_llmgate.testing.pytest_plugin"]

ASK = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
PLAIN, ASYNC = (block.text for block in BLOCKS if block.name == "test your gateway")

MODES = {
    "asyncio, strict": ("-p no:anyio", ASYNC.replace("mark.anyio", "mark.asyncio"), "1 passed"),
    "asyncio, auto": ("-p no:anyio -o asyncio_mode=auto", ASYNC.replace("@pytest.mark.anyio\n", ""), "1 passed"),
    "pytest alone": ("-p no:asyncio -p no:anyio", PLAIN, "2 passed"),
}
LESS_OFTEN = [pytest.param(mode, marks=pytest.mark.suites) for mode in list(MODES)[1:]]


@pytest.mark.parametrize("mode", ["asyncio, strict", *LESS_OFTEN])
def test_the_pages_tests_pass(tmp_path: Path, mode: str) -> None:
    """As the page has them, with anyio, they are run with the other blocks of the pages."""
    options, text, passed = MODES[mode]
    (tmp_path / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *options.split()]
    loop = ["-o", "asyncio_default_fixture_loop_scope=function"] if "no:asyncio" not in options else []
    done = subprocess.run([*command, *loop, "-W", "error"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert passed in done.stdout, done.stdout + done.stderr


@pytest.mark.servers
def test_the_page_from_an_empty_folder(tmp_path: Path) -> None:
    """Only pytest and the package are installed."""
    environment = installed("serve")
    own = tmp_path / "site"
    pip_install(
        environment,
        "-c",
        str(CONSTRAINTS),
        "--target",
        str(own),
        "--no-deps",
        "pytest",
        "pluggy",
        "iniconfig",
        "pygments",
        "packaging",
    )
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "test_gateway.py").write_text(PLAIN)
    (folder / "test_stream.py").write_text(ASYNC)
    done = subprocess.run(
        ["python", "-m", "pytest", "-q", "-W", "error"],
        cwd=folder,
        env=newcomer(environment, tmp_path) | {"PYTHONPATH": str(own)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_nothing_is_loaded_where_it_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import sys\ndef test(): assert 'asgi_llmgate' not in sys.modules")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_settings_file_is_tested_as_it_is(gateway: Any, mock_idp: MockIdP, model_server: Any, tmp_path: Path) -> None:
    (tmp_path / "denied.txt").write_text("mallory\n")
    settings = {
        "auth": {
            "providers": [{"preset": "okta", "issuer": "https://acme.okta.com/oauth2/default", "audiences": ["x"]}]
        },
        "policy": {"rules": ["jwt.team == 'a'"], "deny_subjects": {"file": "denied.txt"}},
        "backends": {
            "claude": {"dialect": "anthropic", "base_url": "https://api.anthropic.com", "api_key": "env:NOT_SET"}
        },
        "models": [{"match": "*", "use": "claude/claude-x"}],
        "usage": {"ledger": {}, "otel": True, "fields": {"team": "jwt.team"}},
        "net": {"proxy": "http://proxy.invalid:3128"},
        "secret": "env:NOT_SET",
    }
    (tmp_path / "llmgate.yaml").write_text(yaml.safe_dump(settings))
    client = gateway(tmp_path / "llmgate.yaml")
    statuses = [
        client.post(
            "/v1/messages", json=ASK, headers={"authorization": f"Bearer {mock_idp.mint(**claims)}"}
        ).status_code
        for claims in ({"team": "a"}, {"team": "b"}, {"team": "a", "sub": "mallory"})
    ]
    assert statuses == [200, 403, 403]
    assert [request.body["model"] for request in model_server.requests] == ["claude-x"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["denied.txt", "llmgate.yaml"]


def test_two_gateways_at_once_have_one_provider(gateway: Any, mock_idp: MockIdP) -> None:
    rules = [{"policy": {"rules": [f"jwt.team == '{team}'"]}} for team in "ab"]
    first, second = map(gateway, rules)
    headers = {"authorization": f"Bearer {mock_idp.mint(team='a')}"}
    assert [client.post("/v1/messages", json=ASK, headers=headers).status_code for client in (first, second)] == [
        200,
        403,
    ]


def test_a_mistake_in_the_settings_is_the_gateways_own(gateway: Any) -> None:
    with pytest.raises(SettingsError, match=r"policy\.rules"):
        gateway({"policy": {"rules": ["jwt.team =="]}})
    with pytest.raises(SettingsError, match="NOT_SET"):
        gateway({"backends": {"o": {"base_url": "http://x/v1", "api_key": "env:NOT_SET"}}, "models": []}, mocks=False)


def test_what_is_replaced_and_what_stays() -> None:
    settings = {
        "auth": {"mode": "optional", "providers": [{"issuer": "x", "claim_map": {"groups": "roles"}}, {"issuer": "y"}]},
        "policy": {"rules": ["true"]},
        "backends": {
            "a": {"base_url": "https://a", "dialect": {"base": "vllm", "images": "none"}},
            "b": {"base_url": "https://b", "provider": "theirs", "extra_headers": {"x-key": "secret"}},
        },
        "models": [{"match": "*", "use": ["a/m", "b/m"]}],
        "limits": [{"name": "n", "key": "jwt.sub", "concurrency": 1}],
        "usage": {"user": "jwt.email", "prometheus": True},
    }
    mocked = with_mocks(settings, MockIdP(), "http://127.0.0.1:1")
    read_settings(mocked)
    assert mocked["auth"]["mode"] == "optional"
    assert [each["claim_map"] for each in mocked["auth"]["providers"]] == [{"groups": "roles"}]
    assert mocked["backends"] == {
        "a": {"base_url": "http://127.0.0.1:1/v1", "provider": "vllm"},
        "b": {"base_url": "http://127.0.0.1:1/v1", "provider": "theirs"},
    }
    assert {name: mocked[name] for name in ("policy", "models", "limits")} == {
        name: settings[name] for name in ("policy", "models", "limits")
    }
    assert mocked["usage"] == {"user": "jwt.email"}
