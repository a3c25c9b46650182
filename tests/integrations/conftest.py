"""A company: its identity provider, its model server, and the settings of a gateway between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.testing.model_server import ModelServer

ASK = {"model": "claude-opus-5", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}
TEAM = 'jwt.team == "data-platform"'


@dataclass(frozen=True)
class Company:
    idp: MockIdP
    model: ModelServer
    base_url: str

    def settings(self, **changed: Any) -> dict[str, Any]:
        """The settings, some sections replaced."""
        return {
            "auth": {"providers": [self.provider()]},
            "policy": {"rules": [TEAM]},
            "backends": {"openai": {"base_url": self.base_url}},
            "models": [{"match": "*", "use": "openai/gpt-4o-mini"}],
            **changed,
        }

    def provider(self) -> dict[str, Any]:
        return {"issuer": self.idp.issuer, "audiences": ["anthropic-api"], "jwks": {"inline": self.idp.jwks}}

    def bearer(self, **claims: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {self.idp.mint(**claims)}"}


@pytest.fixture(scope="session")
def idp() -> MockIdP:
    return MockIdP()


@pytest.fixture
def company(idp: MockIdP, serve: Callable[..., str]) -> Company:
    model = ModelServer([say("Hi.").always()])
    return Company(idp, model, serve(model) + "/v1")
