from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.auth import Discovery, Inline, JWTProvider
from asgi_llmgate.errors import SettingsError

GOOD: dict[str, Any] = {"issuers": ["https://idp.test"], "audiences": ["llm"]}


def test_a_provider_is_called_by_its_issuer_unless_it_has_a_name() -> None:
    assert JWTProvider(**GOOD).name == "https://idp.test"
    assert JWTProvider(**GOOD, name="acme").name == "acme"


def test_keys_are_discovered_unless_told_otherwise() -> None:
    assert JWTProvider(**GOOD).jwks == Discovery()
    assert JWTProvider(**GOOD, jwks={"keys": []}).jwks == Inline({"keys": []})


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"issuers": []}, "issuers"),
        ({"issuers": "https://idp.test"}, "issuers"),
        ({"audiences": []}, "audiences"),
        ({"audiences": "llm"}, "audiences"),
        ({"audiences": "none"}, "audiences"),
        ({"algorithms": []}, "algorithms"),
        ({"algorithms": ["HS256"]}, "algorithms[0]"),
        ({"algorithms": ["RS256", "none"]}, "algorithms[1]"),
        ({"algorithms": "RS256"}, "algorithms"),
        ({"required_claims": "exp"}, "required_claims"),
        ({"required_scopes": "llm"}, "required_scopes"),
        ({"client_ids": "web"}, "client_ids"),
        ({"leeway": -1}, "leeway"),
        ({"cooldown": -1}, "cooldown"),
        ({"max_lifetime": 0}, "max_lifetime"),
        ({"issuers": ["claude-code-lab"]}, "jwks"),
        ({"issuers": ["http://idp.test"]}, "jwks"),
    ],
    ids=str,
)
def test_a_description_that_cannot_work_is_refused(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(SettingsError) as caught:
        JWTProvider(**{**GOOD, **changes})
    assert caught.value.path == path


def test_no_audience_is_possible_only_with_client_ids() -> None:
    assert JWTProvider(**{**GOOD, "audiences": "none"}, client_ids=["web"]).audiences == "none"


def test_keys_do_not_show_in_a_repr() -> None:
    assert "modulus" not in repr(JWTProvider(**GOOD, jwks={"keys": [{"n": "modulus"}]}))
