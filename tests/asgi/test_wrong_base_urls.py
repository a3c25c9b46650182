from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.asgi.wrong_base_urls import address_of, api_of, wrong_base_url, wrong_openai_url
from asgi_llmgate.route import Route
from asgi_llmgate.testing.driver import http_scope


def scope(scheme: str = "https", host: str = "apps.acme.test", **headers: str) -> dict[str, Any]:
    found = http_scope("POST", "/", headers={"host": host, **{k.replace("_", "-"): v for k, v in headers.items()}})
    return {**found, "scheme": scheme}


@pytest.mark.parametrize(
    ("method", "path", "api"),
    [
        ("POST", "/v1/messages", "messages"),
        ("POST", "/v1/messages/", "messages"),
        ("POST", "/V1/Messages", "messages"),
        ("POST", "//v1/messages", "messages"),
        ("POST", "/v1/v1/messages", "messages"),
        ("POST", "/v1/messages/count_tokens", "messages"),
        ("POST", "/v1/messages/v1/messages/count_tokens", "messages"),
        ("POST", "/messages", "messages"),
        ("POST", "/chat/completions", "chat"),
        ("POST", "/v1/v1/chat/completions/", "chat"),
        ("POST", "/v1/responses", "chat"),
        ("GET", "/v1/v1/messages", None),
        ("HEAD", "/v1/v1/messages", None),
        ("POST", "/v1/messages/batches", None),
        ("POST", "/v1/messages/count_tokens/x", None),
        ("POST", "/mymessages", None),
        ("POST", "/", None),
        ("POST", "", None),
    ],
)
def test_a_call_is_recognised_by_the_end_of_its_path(method: str, path: str, api: str | None) -> None:
    assert api_of(method, path) == api


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("/v1/messages", "ANTHROPIC_BASE_URL has no path and should; set it to https://apps.acme.test/llm"),
        ("/v1/messages/count_tokens", "ANTHROPIC_BASE_URL has no path and should; set it to"),
        ("/v1/v1/messages", "the path of ANTHROPIC_BASE_URL is /v1, where no gateway is; set it to"),
        ("/llm/v1/v1/messages", "ANTHROPIC_BASE_URL ends in /v1 and should not; set it to https://apps.acme.test/llm"),
        ("/llm/v1/v1/messages/count_tokens", "ANTHROPIC_BASE_URL ends in /v1 and should not; set it to"),
        ("/llm/v1/messages/v1/messages", "ANTHROPIC_BASE_URL ends in /v1/messages and should not; set it to"),
        ("/llm/llm/v1/messages", "ANTHROPIC_BASE_URL ends in /llm and should not; set it to"),
        ("/llm//v1/messages", "ANTHROPIC_BASE_URL ends in / and should not; set it to"),
        ("/LLM/v1/messages", "the path of ANTHROPIC_BASE_URL is /LLM, where no gateway is; set it to"),
        ("/llmfoo/v1/messages", "the path of ANTHROPIC_BASE_URL is /llmfoo, where no gateway is; set it to"),
        ("//llm/v1/messages", "the path of ANTHROPIC_BASE_URL is //llm, where no gateway is; set it to"),
        ("/llm/messages", "the Messages API is at https://apps.acme.test/llm/v1/messages; ANTHROPIC_BASE_URL is that"),
        ("/llm/V1/MESSAGES", "the Messages API is at https://apps.acme.test/llm/v1/messages; ANTHROPIC_BASE_URL is"),
    ],
)
def test_the_text_says_what_was_asked_what_is_wrong_and_what_is_right(asked: str, words: str) -> None:
    error = wrong_base_url(asked, "/llm", scope())
    assert error.client_message.startswith(f"nothing is served at {asked}: {words}")
    assert asked not in error.message  # a path may be anything, and goes to the log


@pytest.mark.parametrize(
    ("base", "options", "remedy"),
    [
        ("/llm", {}, "set it to https://apps.acme.test/llm"),
        ("", {}, "set it to https://apps.acme.test"),
        ("/llm", {"public": "https://ai.acme.test/x"}, "set it to https://ai.acme.test/x"),
        ("/llm", {"scope": scope("http")}, "its path should be /llm"),
        ("", {"scope": scope("http")}, "it should have no path"),
    ],
)
def test_the_remedy_is_the_whole_address_where_it_is_known(base: str, options: Any, remedy: str) -> None:
    error = wrong_base_url(f"{base}/v1/v1/messages", base, options.pop("scope", scope()), **options)
    assert error.client_message.endswith(f"ANTHROPIC_BASE_URL ends in /v1 and should not; {remedy}")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        (scope(), "https://apps.acme.test/llm"),
        (scope(host="apps.acme.test:8443"), "https://apps.acme.test:8443/llm"),
        (scope(host="[2001:db8::1]:8443"), "https://[2001:db8::1]:8443/llm"),
        (scope(x_forwarded_proto="https"), "https://apps.acme.test/llm"),
        (scope("http", "127.0.0.1:8080"), "http://127.0.0.1:8080/llm"),
        (scope("http", "localhost"), "http://localhost/llm"),
        (scope("http", "[::1]:80"), "http://[::1]:80/llm"),
        # A proxy may have taken TLS off, and may have changed the host.
        (scope("http"), ""),
        (scope("http", "10.0.0.7:8000"), ""),
        (scope("http", "127.0.0.1:8080", x_forwarded_for="10.1.2.3"), ""),
        (scope("http", "localhost.evil.test"), ""),
        (scope("ws", "127.0.0.1"), ""),
        # What is no host and port.
        (scope(host=""), ""),
        (scope(host="evil.test/path"), ""),
        (scope(host="user:password@evil.test"), ""),
        (scope(host="a b"), ""),
        (scope(host="evil.test\x1b[2J"), ""),
        (scope(host="evil.test:99999999"), ""),
        (scope(host="x" * 300), ""),
        ({**scope(), "headers": []}, ""),
        ({**scope(), "headers": [(b"host", b"one.test"), (b"host", b"two.test")]}, ""),
    ],
)
def test_an_address_is_told_where_it_is_certain_and_harmless(given: dict[str, Any], address: str) -> None:
    assert address_of(given, "/llm") == address


def test_a_long_path_is_cut() -> None:
    error = wrong_base_url("/x" * 40_000 + "/v1/messages", "/llm", scope())
    assert len(json.dumps(error.client_message)) < 700


CHAT = {"/v1/messages": Route("messages"), "/v1/chat/completions": Route("completions")}


@pytest.mark.parametrize(
    ("asked", "routes", "remedy"),
    [
        ("/llm/chat/completions", CHAT, "set the base URL of the client to https://apps.acme.test/llm/v1"),
        ("/llm/v1/v1/chat/completions", CHAT, "set the base URL of the client to https://apps.acme.test/llm/v1"),
        (
            "/llm/v1/chat/completions",
            {"/v1/messages": Route("messages")},
            "this gateway has no route for OpenAI's API; "
            "Anthropic's Messages API is at https://apps.acme.test/llm/v1/messages",
        ),
        ("/llm/v1/chat/completions", {}, "this gateway has no route for OpenAI's API"),
        (
            "/llm/v1/responses",
            CHAT,
            "this gateway has no route for OpenAI's Responses API; "
            "it has chat completions at https://apps.acme.test/llm/v1/chat/completions",
        ),
        ("/llm/v1/responses", {}, "this gateway has no route for OpenAI's Responses API"),
    ],
)
def test_openais_clients_are_told_what_the_gateway_has(asked: str, routes: Any, remedy: str) -> None:
    error = wrong_openai_url(asked, "/llm", scope(), routes)
    assert error.client_message == f"nothing is served at {asked}: {remedy}"
