from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import ModelInfo

from asgi_llmgate import Backend, Exchange, Identity, ModelRow, ModelTable, ResolveMiddleware, TranslationApp
from asgi_llmgate.policy import condition
from asgi_llmgate.testing.driver import call

ROWS = [
    ModelRow("qwen3-coder", ("vllm",), display_name="Qwen 3"),
    ModelRow("claude-*", ("openai/gpt-4o-mini",), listed=("claude-opus-5",)),
]
MODELS = ModelTable(ROWS, {"vllm": "vllm", "openai": "openai"})


@pytest.fixture
def app() -> TranslationApp:
    backends = {name: Backend(base_url="http://127.0.0.1:9/v1") for name in ("vllm", "openai")}
    return TranslationApp(backends, models=MODELS)


BODY = {"model": "claude-opus-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hello " * 50}]}


@pytest.mark.parametrize(
    ("method", "path", "status", "kind", "message"),
    [
        ("GET", "/v1/nothing", 404, "not_found_error", "no such path: /v1/nothing"),
        ("POST", "/", 404, "not_found_error", "no such path: /"),
        ("GET", "/v1/messages", 405, "invalid_request_error", "method not allowed; allowed: POST"),
        ("POST", "/v1/models", 405, "invalid_request_error", "method not allowed; allowed: GET, HEAD"),
        ("GET", "/v1/models/gpt-5", 404, "not_found_error", "model: gpt-5"),
        ("GET", "/v1/messages/count_tokens/x", 404, "not_found_error", "no such path: /v1/messages/count_tokens/x"),
    ],
)
async def test_what_is_not_there(app: Any, method: str, path: str, status: int, kind: str, message: str) -> None:
    reply = await call(app, method, path)
    assert reply.status == status
    assert reply.json()["error"] == {"type": kind, "message": message}
    assert reply.headers["request-id"] == reply.json()["request_id"]
    assert ("allow" in reply.headers) == (status == 405)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, None),
        (b'{"model":"claude-x","max_tokens":5,"messages":[]}', 400, "messages: at least one message is required"),
        (b'{"model":"gpt-9","max_tokens":5,"messages":[{"role":"user","content":"x"}]}', 404, "model: gpt-9"),
    ],
    ids=["not JSON", "no messages", "unknown model"],
)
async def test_a_call_that_cannot_be_made(app: Any, body: bytes, status: int, message: str | None) -> None:
    reply = await call(app, "POST", "/v1/messages", content=body)
    assert reply.status == status
    assert message is None or reply.json()["error"]["message"] == message


async def test_a_body_over_the_limit_is_413() -> None:
    app = ResolveMiddleware(pytest.fail, models=MODELS, body_limit=100)  # type: ignore[arg-type]
    reply = await call(app, "POST", "/v1/messages", content=b"x" * 101)
    assert (reply.status, reply.json()["error"]["type"]) == (413, "request_too_large")


async def test_models_are_listed_in_anthropics_shape(app: Any) -> None:
    page = (await call(app, "GET", "/v1/models", query="limit=1000")).json()
    assert [(model["id"], model["display_name"]) for model in page["data"]] == [
        ("qwen3-coder", "Qwen 3"),
        ("claude-opus-5", "claude-opus-5"),
    ]
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, "qwen3-coder", "claude-opus-5")
    assert (await call(app, "GET", "/v1/models/qwen3-coder")).json() == page["data"][0]


async def test_a_model_whose_name_a_pattern_fits_is_there_though_it_is_not_listed(app: Any) -> None:
    """Claude Code and the SDKs ask for the name that they were given."""
    row = {"type": "model", "id": "claude-x[1m]", "display_name": "claude-x[1m]", "lifecycle": "active"}
    reply = await call(app, "GET", "/v1/models/claude-x[1m]")
    assert reply.json() == {**row, "created_at": "1970-01-01T00:00:00Z"}
    assert ModelInfo.model_validate(reply.json()).id == "claude-x[1m]"


@pytest.mark.parametrize(
    ("rows", "window", "output"),
    [
        ([ModelRow("m", ("vllm",), context_window=32_000, max_output_tokens=4000)], 32_000, 4000),
        ([ModelRow("m", ("vllm",), context_window=32_000)], 32_000, None),
        ([ModelRow("m", ("vllm",))], None, None),
        (
            [ModelRow("x*", ("vllm",), context_window=1), ModelRow("*", ("vllm",), listed=("m",), context_window=2)],
            2,
            None,
        ),
        (
            [
                ModelRow("m", ("vllm",), when=condition("llm.maxTokens <= 64"), context_window=8000),
                ModelRow("m", ("vllm",), context_window=64_000, max_output_tokens=9),
            ],
            8000,
            9,
        ),
    ],
    ids=["both", "a window", "neither", "the row that fits", "the smaller of two"],
)
async def test_the_limits_that_the_settings_state_are_shown(
    rows: list[ModelRow], window: int | None, output: int | None
) -> None:
    app = TranslationApp({"vllm": Backend(base_url="http://127.0.0.1:9/v1")}, models=ModelTable(rows, {"vllm": "vllm"}))
    page, one = [(await call(app, "GET", path)).json() for path in ("/v1/models", "/v1/models/m")]
    assert page["data"] == [one]
    info = ModelInfo.model_validate(one)
    assert (info.max_input_tokens, info.max_tokens) == (window, output)


async def test_only_models_that_the_rules_permit_are_listed(app: Any) -> None:
    async def with_rules(scope: Any, receive: Any, send: Any) -> None:
        scope, exchange = Exchange.enter(scope)
        exchange.permits = lambda target, name="", /: target.model == "gpt-4o-mini"
        await app(scope, receive, send)

    page = (await call(with_rules, "GET", "/v1/models")).json()
    assert [model["id"] for model in page["data"]] == ["claude-opus-5"]
    assert (await call(with_rules, "GET", "/v1/models/qwen3-coder")).status == 404
    assert (await call(with_rules, "HEAD", "/v1/models/claude-opus-5")).status == 200


@pytest.mark.parametrize(
    ("team", "listed"), [("research", ["large", "safety", "any"]), ("sales", ["safety", "any"])], ids=str
)
async def test_a_row_with_a_condition_is_listed_unless_the_caller_cannot_meet_it(team: str, listed: list[str]) -> None:
    rows = [
        ModelRow("large", ("vllm/qwen3-235b",), when=condition('jwt.team == "research"')),
        ModelRow("safety", ("vllm/small",), when=condition("llm.maxTokens <= 64")),
        ModelRow("any", ("vllm/small",)),
    ]
    table = ModelTable(rows, {"vllm": "vllm"})
    app = TranslationApp({"vllm": Backend(base_url="http://127.0.0.1:9/v1")}, models=table)

    async def identified(scope: Any, receive: Any, send: Any) -> None:
        scope, exchange = Exchange.enter(scope)
        exchange.identity = Identity(provider="idp", claims={"team": team})
        await app(scope, receive, send)

    page = (await call(identified, "GET", "/v1/models")).json()
    assert [model["id"] for model in page["data"]] == listed
    assert (await call(identified, "GET", "/v1/models/large")).status == (200 if "large" in listed else 404)


async def test_tokens_are_counted_without_max_tokens(app: Any) -> None:
    counted = await call(app, "POST", "/v1/messages/count_tokens", json={**BODY, "max_tokens": None})
    assert counted.status == 200
    assert 40 < counted.json()["input_tokens"] < 160


async def test_a_model_server_that_is_not_there_is_overloaded_for_the_client(app: Any) -> None:
    reply = await call(app, "POST", "/v1/messages", json=BODY)
    assert (reply.status, reply.json()["error"]["type"]) == (529, "overloaded_error")
    assert "127.0.0.1" not in reply.json()["error"]["message"]
    await app.aclose()


async def test_the_resolve_layer_reads_once_and_plays_the_body_again() -> None:
    seen: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append((Exchange.of(scope).call, await receive()))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    app = ResolveMiddleware(inner, models=MODELS)
    headers = {"x-claude-code-session-id": "s1", "x-claude-code-agent-id": "a1"}
    await call(app, "POST", "/v1/messages", json=BODY, headers=headers)
    found, message = seen[0]
    assert [target.model for target in found.candidates] == ["gpt-4o-mini"]
    assert (found.request.model, found.session_id, found.agent_id) == ("claude-opus-5", "s1", "a1")
    assert b"hello" in message["body"]


async def test_the_resolve_layer_leaves_other_requests_alone() -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        assert Exchange.of(scope).call is None
        assert (await receive())["body"] == b"form"
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    assert (await call(ResolveMiddleware(inner, models=MODELS), "POST", "/other", content=b"form")).status == 204


async def test_a_websocket_is_closed_and_of_anything_else_the_app_knows_nothing(app: Any) -> None:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    await app({"type": "websocket", "path": "/v1/messages", "headers": []}, None, send)
    assert said == [{"type": "websocket.close", "code": 1008}]
    with pytest.raises(NotImplementedError, match="'webtransport'"):
        await app({"type": "webtransport"}, None, None)
