from __future__ import annotations

import pytest

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net.base_url import BaseURL, parse_base_url


def root(text: str, endpoint: str = "/chat/completions") -> str:
    return parse_base_url(text, endpoint).root


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://api.deepseek.com", "https://api.deepseek.com"),
        ("http://[::1]:8000/v1/", "http://[::1]:8000/v1"),
        ("http://gpu_1.svc.cluster.local:8000/v1", "http://gpu_1.svc.cluster.local:8000/v1"),
        ("HTTPS://API.Test/V1", "https://api.test/V1"),
        ("http://host:/v1", "http://host:/v1"),
        ("http://modèle.test/v1", "http://modèle.test/v1"),
        ("https://x.services.ai.azure.com/models", "https://x.services.ai.azure.com/models"),
        ("https://host/a//b///", "https://host/a//b"),
    ],
)
def test_a_base_is_taken_as_it_is(text: str, expected: str) -> None:
    assert root(text) == expected


@pytest.mark.parametrize(
    ("endpoint", "text", "expected"),
    [
        ("", "https://host/x/chat/completions", "https://host/x/chat/completions"),
        ("/messages", "https://api.anthropic.com/v1/messages", "https://api.anthropic.com/v1"),
        ("/v2/chat", "https://host/api/v2/chat/", "https://host/api"),
    ],
)
def test_the_path_of_the_dialect_is_not_added_twice(endpoint: str, text: str, expected: str) -> None:
    assert root(text, endpoint) == expected


@pytest.mark.parametrize(
    ("own", "clients", "expected"),
    [
        ("", "", ""),
        ("", "beta=true", "?beta=true"),
        ("a=1", "", "?a=1"),
        ("a=1", "beta=true", "?a=1&beta=true"),
        ("a=1&b=2", "b=3&a=4&c=5", "?a=1&b=2&c=5"),
        ("api-version=1", "api%2Dversion=2&x", "?api-version=1&x"),
        ("a b=1", "a+b=2", "?a b=1"),
        ("a=1", "&&", "?a=1"),
    ],
)
def test_a_parameter_of_the_settings_is_not_the_clients_to_change(own: str, clients: str, expected: str) -> None:
    assert BaseURL("http://h/v1", own).join("/p", clients) == "http://h/v1/p" + expected


def test_a_tokenizer_is_beside_v1() -> None:
    base = parse_base_url("http://h:1/x/v1?k=2")
    assert base.join("/tokenize", at_root=True) == "http://h:1/x/tokenize?k=2"
    assert parse_base_url("http://h:1/x").join("/tokenize", at_root=True) == "http://h:1/x/tokenize"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://h/v1", ("h", 443)),
        ("http://h", ("h", 80)),
        ("http://[::1]:9/v1", ("::1", 9)),
        ("http://H:/v1", ("h", 80)),
    ],
)
def test_the_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert parse_base_url(text).address == address


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        ("u:s3cr3t", "Basic dTpzM2NyM3Q="),
        ("u:p%40ss", "Basic dTpwQHNz"),
        ("u", "Basic dTo="),
        (":s3cr3t", "Basic OnMzY3IzdA=="),
        ("a:b:c", "Basic YTpiOmM="),
    ],
)
def test_a_user_and_password_become_a_header_and_are_shown_nowhere(credentials: str, header: str) -> None:
    base = parse_base_url(f"https://{credentials}@h/v1?key=s3cr3t")
    assert base.authorization is not None
    assert (base.root, base.authorization.reveal()) == ("https://h/v1", header)
    assert "s3cr3t" not in repr(base)


@pytest.mark.parametrize(
    "text",
    [
        "https://u:s3cr3t@",
        "https://u:s3cr3t/x@h/v1",
        "https://u:s3cr3t?x@h/v1",
        "https://u:s3cr3t@h/v1#x",
        "https://u:s3cr3t@h/v1/messages",
        "https://u:s3cr3t@h:port/v1",
        "u:s3cr3t@h/v1",
        "https://u:s3cr3t@h y/v1",
    ],
)
def test_no_error_shows_a_password(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_base_url(text)
    assert "s3cr3t" not in str(refused.value)
