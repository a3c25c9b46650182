from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asgi_llmgate import Gateway
from asgi_llmgate.config.schema import read_file, read_settings
from asgi_llmgate.config.units import parse_size
from asgi_llmgate.errors import SettingsError

LEAST: dict[str, Any] = {"backends": {"o": {"base_url": "http://x"}}, "models": [{"match": "*", "use": "o/m"}]}


def with_(**sections: Any) -> dict[str, Any]:
    return {**LEAST, **sections}


MISTAKES = [
    ({}, "backends: this key is missing\nand 1 more:\n  models: this key is missing"),
    (with_(pollicy={}), "pollicy: unknown key (did you mean policy?)"),
    (with_(zzz={}), "zzz: unknown key"),
    (
        with_(auth={"providers": [{"issuer": "x"}, {"audience": ["x"]}]}),
        "auth.providers[1].audience: unknown key (did you mean audiences?)",
    ),
    (
        with_(auth={"providers": [{"audiences": [5]}]}),
        "auth.providers[0].audiences[0]: must be a text, not 5 (in quotes)",
    ),
    (
        with_(auth={"mode": "strikt"}),
        "auth.mode: must be one of strict, optional, permissive, off, not 'strikt' (did you mean strict?)",
    ),
    (
        with_(auth={"providers": [{"jwks": {"fil": "x"}}]}),
        "auth.providers[0].jwks.fil: unknown key (did you mean file?)",
    ),
    (
        with_(backends={"ok": {"base_url": "x"}, "bad": {"bas_url": "x"}}),
        "backends.bad.bas_url: unknown key (did you mean base_url?)",
    ),
    (with_(backends={"b": {"base_url": 3}}), "backends.b.base_url: must be a text, not 3 (in quotes)"),
    (with_(models=[{"match": "a", "use": 3}]), "models[0].use: must be a text or a list, not 3 (in quotes)"),
    (
        with_(models=[{"match": "a", "use": "o", "list": "x"}]),
        "models[0].list: must be a list, not a text "
        "(in brackets, or each member in a line of its own that begins with a dash)",
    ),
    (
        with_(models=[{"match": "a", "use": "o", "prices": {"inputs": 1}}]),
        "models[0].prices.inputs: unknown key (did you mean input?)",
    ),
    (
        with_(backends={"b": {"base_url": "x", "concurrency": 3}}),
        "backends.b.concurrency: known, but not there yet in this version",
    ),
    (
        with_(usage={"otel": {"semconv": 1.41}}),
        "usage.otel.semconv: must be one of 1.41, latest, both, not 1.41 (in quotes)",
    ),
    (
        with_(auth={"mode": False}),
        "auth.mode: must be one of strict, optional, permissive, off, not false "
        "(in quotes; without them YAML reads on, off, yes and no as true and false)",
    ),
    (
        with_(usage={"otel": {"semconf": "latest"}}),
        "usage.otel.semconf: unknown key (did you mean semconv?)",
    ),
    (with_(usage={"prometheus": 3}), "usage.prometheus: must be true or false or a mapping, not 3"),
    (with_(usage={"ledger": {"kepp": "1d"}}), "usage.ledger.kepp: unknown key (did you mean keep?)"),
]


@pytest.mark.parametrize(("mapping", "words"), MISTAKES, ids=[words.split(":")[0] for _, words in MISTAKES])
def test_a_mistake_is_named_with_its_place(mapping: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(mapping)
    assert str(caught.value) == words


def test_the_least_settings_are_strict() -> None:
    settings = read_settings(LEAST)
    assert (settings.auth.mode, settings.policy.default) == ("strict", "deny")


@pytest.mark.parametrize(
    ("text", "size"), [("32MiB", 32 * 2**20), ("500kB", 500_000), ("1 GiB", 2**30), ("7", 7), (9, 9), ("8b", 8)]
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text, "server.body_limit") == size


def test_a_size_that_is_none_is_refused_with_its_place() -> None:
    with pytest.raises(SettingsError, match=r"^server\.body_limit: not a size: '32 apples'"):
        parse_size("32 apples", "server.body_limit")


def test_variables_in_a_file_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_HOST", "models.test")
    monkeypatch.delenv("GATE_PORT", raising=False)
    file = tmp_path / "llmgate.yaml"
    file.write_text('urls: ["http://${GATE_HOST}:${GATE_PORT:-8000}/v1"]\nrule: "a$ {b} $c"\n')
    assert read_file(file) == {"urls": ["http://models.test:8000/v1"], "rule": "a$ {b} $c"}


def test_a_variable_that_is_not_set_is_refused_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATE_HOST", raising=False)
    file = tmp_path / "llmgate.yaml"
    file.write_text("backends: {o: {urls: [x, '${GATE_HOST}']}}\n")
    with pytest.raises(SettingsError) as caught:
        read_file(file)
    assert str(caught.value) == "backends.o.urls[1]: the environment variable GATE_HOST is not set"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [1, 2\nb: 3", "is not valid YAML: line 2, column 2: expected ',' or ']', but got ':'"),
        ("- a\n- b\n", "holds no mapping at its top level (it begins with a key, such as models:)"),
        ("", "is empty"),
    ],
    ids=["yaml", "list", "empty"],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "llmgate.yaml"
    file.write_text(content)
    with pytest.raises(SettingsError) as caught:
        read_file(file)
    assert str(caught.value) == f"{file} {words}"


def test_a_second_policy_does_not_take_the_rules_of_the_first_away(tmp_path: Path) -> None:
    file = tmp_path / "llmgate.yaml"
    file.write_text("policy:\n  rules: ['jwt.team == \"a\"']\nauth: {}\npolicy:\n  default: allow\n")
    with pytest.raises(SettingsError) as caught:
        read_file(file)
    where = "line 4, column 1: the key 'policy' is repeated, it is in line 1 too"
    assert str(caught.value) == f"{file} is not valid YAML: {where}"


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml cannot be read: No such file"):
        read_file(tmp_path / "nowhere.yaml")


PASSWORD = "pa55word"
IDP = {"issuer": "https://idp.test", "audiences": ["llm"]}
CLIENT = {"client_id": "gate", "client_secret": "env:STATIC"}


def backend(**members: Any) -> dict[str, Any]:
    return with_(backends={"o": {"base_url": "http://x", **members}})


def provider(**members: Any) -> dict[str, Any]:
    return with_(auth={"providers": [{**IDP, **members}]})


@pytest.mark.parametrize("address", ["https://bob:{}@a.test/v1", "https://a.test/v1?key={}", "https://a.test/v1#{}"])
@pytest.mark.parametrize(
    "place",
    [
        lambda url: backend(base_url=url),
        lambda url: backend(api_key={"client_credentials": {"token_url": url, **CLIENT}}),
        lambda url: backend(api_key={"token_exchange": {"token_url": url, **CLIENT}}),
        lambda url: backend(api_key={"client_credentials": {"token_url": "https://a.test", "resource": url, **CLIENT}}),
        lambda url: backend(extra_body={"callback": url, "more": {"urls": [url]}}),
        lambda url: provider(jwks={"url": url}),
        lambda url: provider(discovery_url=url),
        lambda url: provider(issuer=url),
        lambda url: provider(issuers=[url]),
        lambda url: provider(introspection={"url": url, **CLIENT}),
        lambda url: with_(auth={"protected_resource": {"url": url}}),
        lambda url: with_(net={"proxy": url}),
        lambda url: with_(usage={"ledger": {"url": url.replace("https", "postgresql")}}),
    ],
)
def test_settings_show_no_credential_of_an_address(place: Any, address: str) -> None:
    settings = read_settings(place(address.format(PASSWORD)))
    assert "a.test" in repr(settings)
    assert PASSWORD not in repr(settings)


@pytest.mark.parametrize(
    "mapping",
    [
        backend(api_key=PASSWORD),
        backend(extra_headers={"x-key": PASSWORD}),
        backend(api_key={"client_credentials": {"token_url": "https://a.test", **CLIENT, "client_secret": PASSWORD}}),
        provider(introspection={"url": "https://a.test", **CLIENT, "client_secret": PASSWORD}),
    ],
    ids=["api_key", "extra_headers", "client_secret", "the secret of an introspection"],
)
def test_settings_show_no_secret_that_stands_where_its_name_should(mapping: dict[str, Any]) -> None:
    assert PASSWORD not in repr(read_settings(mapping))


def test_settings_show_what_is_no_secret() -> None:
    shown = repr(
        read_settings(backend(api_key="env:KEY", extra_headers={"x-tenant": "a"}, base_url="http://gpu-1:8000/v1"))
    )
    for part in (
        "base_url='http://gpu-1:8000/v1'",
        "api_key='env:KEY'",
        "'x-tenant': ...",
        "match='*'",
        "'authorization'",
    ):
        assert part in shown


def test_a_start_tells_the_mistakes_of_all_parts_in_one_error() -> None:
    wrong = with_(
        auth={"providers": [{"issuer": "https://a.test"}]},
        policy={"rules": ["jtw.a", "jwt.a =="]},
        limits=[{"name": "a", "key": "jtw.b", "requests": "often"}],
        usage={"fields": {"status": "jwt.a"}},
        server={"body_limit": "much", "streams": "many"},
    )
    with pytest.raises(SettingsError) as caught:
        Gateway.from_settings(wrong)
    assert sorted(error.path for error in (caught.value, *caught.value.others)) == [
        "auth.providers[0].audiences",
        "limits[0].key",
        "limits[0].requests",
        "policy.rules[0]",
        "policy.rules[1]",
        "server.body_limit",
        "server.streams",
        "usage.fields.status",
    ]
