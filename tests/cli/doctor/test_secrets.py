from __future__ import annotations

from pathlib import Path

import pytest

from asgi_llmgate.cli.doctor.secrets import secrets_of
from asgi_llmgate.config.schema import read_settings


def test_every_place_of_a_secret_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "secret-1")
    monkeypatch.setenv("CLIENT", "secret-2")
    monkeypatch.setenv("SEAL", "secret-3")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret-4@proxy.test")
    (tmp_path / "key").write_text("secret-5\n")
    (tmp_path / "token").write_text("secret-6\n")
    client = {"client_id": "gate", "client_secret": "env:CLIENT"}
    settings = read_settings(
        {
            "auth": {
                "providers": [
                    {
                        "issuer": "https://a.test",
                        "audiences": ["x"],
                        "jwks": {"url": "https://a.test/jwks", "token_file": "token"},
                        "introspection": {"url": "https://a.test/i", **client},
                    }
                ]
            },
            "backends": {
                "a": {"base_url": "https://user:secret%2D7@a.test/v1?key=secret-8", "api_key": "env:KEY"},
                "b": {"base_url": "https://b.test/v1", "api_key": "file:key"},
                "c": {"base_url": "https://c.test/v1", "extra_headers": {"x-key": "Token secret-9"}},
                "d": {
                    "base_url": "https://d.test/v1",
                    "api_key": {"client_credentials": {"token_url": "https://a.test/t", **client}},
                },
                "e": {"base_url": "https://e.test/v1", "api_key": "env:NOT_SET"},
            },
            "models": [],
            "net": {"proxy": "http://user:secret-0@proxy.test"},
            "usage": {"ledger": {"url": "postgresql://user:secret-a@db.test/x"}},
            "secret": ["env:SEAL"],
        }
    )
    found = set(secrets_of(settings, tmp_path))
    assert {f"secret-{each}" for each in "0123456789a"} <= found
