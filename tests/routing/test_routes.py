"""The route table: which path is what, what finding it costs, and what a table must not say."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from asgi_llmgate import Gateway, SettingsError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.route import Route
from asgi_llmgate.routing.routes import ROUTES, find, route_of
from tests.helpers.counted_work import opcodes

PATHS = {
    **ROUTES,
    "/v1/chat/completions": Route("completions"),
    "/openai/v1/models": Route("openai_models"),
    "/v1/embeddings": Route("passthrough", "model"),
    "/files": Route("passthrough", "model"),
}
SETTINGS = {
    "auth": {"mode": "off"},
    "policy": {"default": "allow"},
    "backends": {"gpu": {"dialect": "vllm", "base_url": "http://127.0.0.1:9/v1"}},
    "models": [{"match": "*", "use": "gpu/large"}],
}


@pytest.mark.parametrize("path", ["/", "/v1/", "/v1/models/", "/v1/messages/", "/files/", "/openai/v1/models/"])
@pytest.mark.parametrize("piece", ["a/", "/", "a%2f", "models/", "../"])
def test_a_path_costs_the_same_however_many_slashes_it_has(path: str, piece: str) -> None:
    few, many = (partial(find, PATHS, path + piece * times) for times in (10, 10_000))
    assert min(opcodes(many) for _ in range(3)) == min(opcodes(few) for _ in range(3))


@pytest.mark.parametrize(
    ("path", "kind", "item"),
    [
        ("/v1/messages", "messages", ""),
        ("/v1/models/qwen3", "models", "qwen3"),
        ("/v1/models/Qwen/Qwen3-8B", "models", "Qwen/Qwen3-8B"),
        ("/openai/v1/models/a", "openai_models", "a"),
        ("/v1/messages/x", None, ""),
        ("/v1/messages/count_tokens/x", None, ""),
        ("/", None, ""),
    ],
)
def test_a_path_is_found_exactly_and_a_model_behind_its_list(path: str, kind: str | None, item: str) -> None:
    found = find(PATHS, path)
    assert (found and found.route.kind, found.item if found else "") == (kind, item)


@pytest.mark.parametrize(
    ("path", "wire"),
    [("/v1/messages", "messages"), ("/v1/chat/completions", "chat"), ("/files", "chat"), ("/nowhere", "messages")],
)
def test_a_request_has_the_wire_of_its_route_and_is_looked_up_once(path: str, wire: str) -> None:
    scope = {"type": "http", "path": path}
    exchange = Exchange()
    found = route_of(exchange, scope, PATHS)
    assert (found and found.path, exchange.wire) == (path if path in PATHS else None, wire)
    assert exchange.route is found
    if found is not None:
        assert route_of(exchange, scope, {}) is found


@pytest.mark.parametrize(
    ("routes", "words"),
    [
        ({"/v1/x": "compltions"}, "routes./v1/x: no such route type: 'compltions'"),
        ({"/v1/x": "passthrough"}, "routes./v1/x: a passthrough names its backend ({passthrough: BACKEND})"),
        ({"/v1/x": {"passthrough": "cpu"}}, "routes./v1/x.passthrough: no backend is named 'cpu' (backends: gpu)"),
        ({"v1": "models"}, "routes.v1: a path starts with a slash and does not end in one"),
    ],
)
def test_a_route_that_cannot_be_is_named(routes: Any, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Gateway.from_settings({**SETTINGS, "routes": routes})
    assert str(caught.value).startswith(words)
