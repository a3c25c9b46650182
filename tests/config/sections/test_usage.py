from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate import Gateway, SettingsError
from asgi_llmgate.testing.driver import call
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.usage import UsageRecord


class Kept:
    def __init__(self) -> None:
        self.records: list[UsageRecord] = []

    def emit(self, record: UsageRecord) -> None:
        self.records.append(record)


def settings(model_url: str, idp: MockIdP, user: str) -> dict[str, Any]:
    return {
        "auth": {"providers": [{"issuer": idp.issuer, "audiences": [idp.audience], "jwks": {"inline": idp.jwks}}]},
        "policy": {"rules": ["true"]},
        "backends": {"model": {"base_url": f"{model_url}/v1"}},
        "models": [{"match": "*", "use": "model/qwen3"}],
        "usage": {"user": user},
    }


ASK = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize(
    ("user", "claims", "caller"),
    [
        ("jwt.email", {"email": "ada@acme.test"}, "ada@acme.test"),
        ("jwt.email", {}, "u-1"),
        ("has(jwt.email) ? jwt.email : jwt.upn", {"upn": "ada"}, "ada"),
        ('jwt.org + "/" + jwt.sub', {}, "acme/u-1"),
        ("jwt.groups", {"groups": ["a"]}, "u-1"),
    ],
)
async def test_what_a_record_calls_the_user(serve, user: str, claims: dict[str, Any], caller: str) -> None:
    idp, sink = MockIdP(), Kept()
    url = serve(ModelServer([say("Hi.").always()]))
    async with Gateway.from_settings(settings(url, idp, user), sinks=[sink]) as gateway:
        headers = {"authorization": f"Bearer {idp.mint(sub='u-1', **claims)}"}
        assert (await call(gateway, "POST", "/v1/messages", json=ASK, headers=headers)).status == 200
        assert (await call(gateway, "POST", "/v1/messages", json=ASK)).status == 401
    assert [record.caller for record in sink.records] == [caller, ""]
    assert [record.subject for record in sink.records] == ["u-1", ""]


@pytest.mark.parametrize(
    ("user", "words"), [("jwt.email ==", "usage.user: "), ("jtw.email", "jtw"), ("source.nothing", "nothing")]
)
def test_an_expression_with_a_mistake_is_named_with_its_place(user: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Gateway.from_settings(settings("http://127.0.0.1:9", MockIdP(), user))
    assert caught.value.path == "usage.user"
    assert words in str(caught.value)
