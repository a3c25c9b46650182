"""`api_key` and `introspection` in the settings: what they become, and what is refused at start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asgi_llmgate import Gateway, SettingsError
from asgi_llmgate.config.schema import read_settings
from asgi_llmgate.config.sections.credentials import ApiKeySettings, make_credential
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.net import HTTPClient

TOKEN_URL = "https://idp.test/token"
GRANT = {"token_url": TOKEN_URL, "client_id": "gateway", "client_secret": "env:OUR_SECRET"}


def settings(api_key: Any = None, **auth: Any) -> dict[str, Any]:
    provider = {"issuer": "https://idp.test", "audiences": ["llm"]}
    return {
        "auth": {"providers": [provider], **auth},
        "policy": {"default": "allow"},
        "backends": {"o": {"base_url": "http://127.0.0.1:9/v1", "api_key": api_key}},
        "models": [{"match": "*", "use": "o/m"}],
    }


def introspecting(*described: Any) -> dict[str, Any]:
    providers = [
        {"issuer": f"https://{number}.idp.test", "audiences": ["llm"], "introspection": each}
        for number, each in enumerate(described)
    ]
    return settings(providers=providers)


INTROSPECTION = {"url": "https://idp.test/introspect", "client_id": "gateway", "client_secret": "env:OUR_SECRET"}

MISTAKES = [
    (settings({}), "backends.o.api_key: one of callable, client_credentials, token_exchange"),
    (
        settings({"callable": "os:getcwd", "token_exchange": GRANT}),
        "backends.o.api_key: one of callable, client_credentials, token_exchange",
    ),
    (
        settings({"token_exchnage": GRANT}),
        "backends.o.api_key.token_exchnage: unknown key (did you mean token_exchange?)",
    ),
    (
        settings({"token_exchange": {**GRANT, "style": "obo"}}),
        "backends.o.api_key.token_exchange.style: must be one of rfc8693, on_behalf_of, not 'obo'",
    ),
    (
        settings({"client_credentials": {**GRANT, "token_url": "http://idp.test/token"}}),
        "backends.o.api_key.client_credentials.token_url: an https URL is needed (http only on this machine), "
        "not 'http://idp.test/token'",
    ),
    (
        settings({"client_credentials": {**GRANT, "client_secret": "hunter2"}}),
        "backends.o.api_key.client_credentials.client_secret: a secret is named, not written here "
        "(env:NAME or file:PATH)",
    ),
    (
        settings({"client_credentials": {**GRANT, "client_secret": "env:NOT_SET"}}),
        "backends.o.api_key.client_credentials.client_secret: the environment variable NOT_SET is not set",
    ),
    (
        settings({"token_exchange": {"token_url": TOKEN_URL, "client_id": "x", "client_auth": "post"}}),
        "backends.o.api_key.token_exchange.client_secret: client_auth: post needs one",
    ),
    (
        settings({"token_exchange": GRANT}, mode="off"),
        "backends.o.api_key.token_exchange: auth.mode is off, so callers have no token to exchange",
    ),
    (
        settings({"callable": "no_such_module:key"}),
        "backends.o.api_key.callable: 'no_such_module:key' cannot be imported: No module named 'no_such_module' "
        "(package.module:name)",
    ),
    (settings({"callable": "os:name"}), "backends.o.api_key.callable: 'os:name' is not a function or a class"),
    (settings("hunter2"), "backends.o.api_key: a secret is named, not written here (env:NAME or file:PATH)"),
    (
        introspecting({**INTROSPECTION, "url": "http://idp.test/introspect"}),
        "auth.providers[0].introspection.url: an https URL is needed (http only on this machine), "
        "not 'http://idp.test/introspect'",
    ),
    (
        introspecting({**INTROSPECTION, "client_secret": "env:NOT_SET"}),
        "auth.providers[0].introspection.client_secret: the environment variable NOT_SET is not set",
    ),
    (
        introspecting(INTROSPECTION, INTROSPECTION),
        "auth.providers[1].introspection: two providers have an introspection, "
        "and an opaque token does not say whose it is",
    ),
    (
        settings(protected_resource={"url": "apps.acme.test/llm"}),
        "auth.protected_resource.url: not a URL: 'apps.acme.test/llm' (such as https://apps.acme.test/llm)",
    ),
]


@pytest.mark.parametrize(("mapping", "words"), MISTAKES, ids=[words[:70] for _, words in MISTAKES])
def test_a_mistake_is_named_at_start(mapping: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_SECRET", "s3cret")
    with pytest.raises(SettingsError) as caught:
        Gateway.from_settings(mapping)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    "api_key",
    [{"client_credentials": GRANT}, {"token_exchange": GRANT}, {"callable": "os:getcwd"}, "env:OUR_SECRET"],
    ids=["client_credentials", "token_exchange", "callable", "env"],
)
@pytest.mark.parametrize("mode", ["strict", "optional"])
def test_each_kind_starts(api_key: Any, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_SECRET", "s3cret")
    assert Gateway.from_settings(settings(api_key, mode=mode))


async def test_a_function_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys_of_a_function.py").write_text(
        "def model_key(exchange):\n    return 'key-for-' + exchange.method\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    source = make_credential(ApiKeySettings(callable="keys_of_a_function:model_key"), HTTPClient(), tmp_path)
    assert source is not None
    assert (await source.get(Exchange(method="POST"))).reveal() == "key-for-POST"


async def test_a_credential_class_is_made_once_without_arguments(tmp_path: Path, monkeypatch: Any) -> None:
    lines = (
        "from asgi_llmgate import CredentialSource, Secret",
        "class Renewed(CredentialSource):",
        "    key_header = 'x-acme-key'",
        "    async def get(self, exchange):",
        "        return Secret('key-for-' + exchange.method)",
        "class Named(Renewed):",
        "    def __init__(self, name):",
        "        self.name = name",
    )
    (tmp_path / "acme_credentials.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    source = make_credential(ApiKeySettings(callable="acme_credentials:Renewed"), HTTPClient(), tmp_path)
    assert source is not None
    assert source.key_header == "x-acme-key"
    assert (await source.get(Exchange(method="POST"))).reveal() == "key-for-POST"
    with pytest.raises(SettingsError, match=r"^backends\.o\.api_key\.callable: .*without arguments.*'name'"):
        Gateway.from_settings(settings({"callable": "acme_credentials:Named"}))


async def test_a_file_is_looked_for_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k1")
    source = make_credential("file:key", HTTPClient(), tmp_path)
    assert source is not None
    assert (await source.get(Exchange())).reveal() == "k1"


def test_the_settings_take_the_mapping_and_the_text() -> None:
    assert read_settings(settings("env:X")).backends["o"].api_key == "env:X"
    found = read_settings(settings({"token_exchange": {**GRANT, "style": "on_behalf_of"}})).backends["o"].api_key
    assert isinstance(found, ApiKeySettings)
    assert found.token_exchange is not None
    assert found.token_exchange.style == "on_behalf_of"
