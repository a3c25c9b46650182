from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llmgate.errors import (
    TABLE,
    Blocked,
    Broken,
    CredentialRefused,
    Failed,
    Overloaded,
    PromptTooLong,
    QuotaExhausted,
    RequestRejected,
    Throttled,
    TimedOut,
    TooLarge,
    UnknownModel,
    UpstreamError,
    row_for,
)
from asgi_llmgate.protocol.error_bodies import anthropic_error, error_headers
from asgi_llmgate.protocol.servers.errors.upstream_errors import reported_error, upstream_error
from asgi_llmgate.testing.grammar import check_stream
from tests.protocol.responses import sse, streamed


def error(message: str = "no", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


def of(status: int, body: Any, **headers: str) -> UpstreamError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return upstream_error(status, data, {name.replace("_", "-"): value for name, value in headers.items()})


HTML = b"<html><body><h1>nginx at 10.0.0.7</h1></body></html>"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(400, error(), RequestRejected, id="400"),
        pytest.param(401, error("Incorrect API key provided: sk-abcdef123456"), CredentialRefused, id="401"),
        pytest.param(400, error("API key not valid", code=400), CredentialRefused, id="400, Gemini's key"),
        pytest.param(
            400, error("No connected db.", type="no_db_connection"), CredentialRefused, id="400, LiteLLM's key"
        ),
        pytest.param(402, error("Insufficient Balance"), QuotaExhausted, id="402"),
        pytest.param(403, error("not allowed"), CredentialRefused, id="403"),
        pytest.param(403, error("Your input was flagged by moderation"), RequestRejected, id="403, moderation"),
        pytest.param(403, error("Key limit exceeded"), QuotaExhausted, id="403, quota"),
        pytest.param(404, error("The model `x` does not exist."), UnknownModel, id="404, model"),
        pytest.param(404, error("no", code="DeploymentNotFound"), UnknownModel, id="404, Azure"),
        pytest.param(400, error("x/y is not a valid model ID"), UnknownModel, id="400, OpenRouter"),
        pytest.param(404, error("No endpoints found that support image input"), RequestRejected, id="404, no image"),
        pytest.param(404, {"detail": "Not Found"}, Broken, id="404, path"),
        pytest.param(405, {"detail": "Method Not Allowed"}, Broken, id="405"),
        pytest.param(408, error(), TimedOut, id="408"),
        pytest.param(409, error(), Overloaded, id="409"),
        pytest.param(413, error(), TooLarge, id="413"),
        pytest.param(413, HTML, TooLarge, id="413, html"),
        pytest.param(413, error("exceeds the context window"), PromptTooLong, id="413, context"),
        pytest.param(418, error(), RequestRejected, id="418"),
        pytest.param(422, {"detail": [{"loc": ["body", "x"], "msg": "bad"}]}, RequestRejected, id="422"),
        pytest.param(425, error(), Overloaded, id="425"),
        pytest.param(429, error("slow"), Throttled, id="429"),
        pytest.param(429, error("quota", code="insufficient_quota"), QuotaExhausted, id="429, quota"),
        pytest.param(500, error(), Failed, id="500"),
        pytest.param(500, error("Loading model"), Overloaded, id="500, loading"),
        pytest.param(
            500, error("image input is not supported, provide the mmproj"), RequestRejected, id="500, no image"
        ),
        pytest.param(500, error("the request exceeds the available context size"), PromptTooLong, id="500, context"),
        pytest.param(501, error(), Failed, id="501"),
        pytest.param(502, error(), Overloaded, id="502"),
        pytest.param(503, error("Loading model", type="unavailable_error"), Overloaded, id="503"),
        pytest.param(503, HTML, Overloaded, id="503, html"),
        pytest.param(504, HTML, TimedOut, id="504"),
        pytest.param(529, error(), Overloaded, id="529"),
        pytest.param(400, HTML, Broken, id="400, html"),
        pytest.param(200, HTML, Blocked, id="200, html"),
        pytest.param(500, b"", Broken, id="500, nothing"),
        pytest.param(200, error("slow", code=429), Throttled, id="200 with an error"),
        pytest.param(302, b"", Blocked, id="redirect"),
        pytest.param(307, error(), Blocked, id="redirect with JSON"),
    ],
)
def test_case_59_error_matrix(status: int, body: Any, kind: type[UpstreamError]) -> None:
    found = of(status, body)
    assert type(found) is kind
    assert found.status == status or status == 200
    legal = {row.anthropic for row in TABLE.values()}
    envelope = json.loads(anthropic_error(found, "req_1"))
    assert envelope["error"]["type"] in legal
    assert row_for(found).status not in {401, 403}
    assert (b"request-id", b"req_1") in error_headers(found, "req_1")
    assert b"sk-abcdef" not in anthropic_error(found, "req_1")
    assert "10.0.0.7" not in found.message + found.client_message + found.detail


OVERFLOW = "This model's maximum context length is 100 tokens. However, your messages resulted in 120 tokens."
CASES_58 = [
    pytest.param(error(OVERFLOW, code="context_length_exceeded"), 120, id="OpenAI"),
    pytest.param({"object": "error", "message": OVERFLOW, "type": "BadRequestError", "code": 400}, 120, id="vLLM, old"),
    pytest.param(error(OVERFLOW, type="BadRequestError", code=400), 120, id="vLLM"),
    pytest.param(
        error("too big", code=400, type="exceed_context_size_error", n_prompt_tokens=120, n_ctx=100),
        120,
        id="llama.cpp",
    ),
    pytest.param({"error": "prompt is too long: 120 tokens > 100 maximum"}, 120, id="Ollama"),
    pytest.param({"error": json.dumps(error(OVERFLOW))}, 120, id="an error in an error"),
    pytest.param(
        error("Provider returned error", code=400, metadata={"raw": json.dumps(error(OVERFLOW)), "provider_name": "x"}),
        120,
        id="OpenRouter",
    ),
    pytest.param([error(OVERFLOW, code=400, status="INVALID_ARGUMENT")], 120, id="Gemini"),
]


@pytest.mark.parametrize(("body", "tokens"), CASES_58)
def test_case_58_context_overflow_texts(body: Any, tokens: int) -> None:
    message = f"prompt is too long: {tokens} tokens > 100 maximum"
    found = of(400, body)
    assert type(found) is PromptTooLong
    assert found.message == found.client_message == message
    if isinstance(body, dict):
        told = streamed(sse(body))
        assert told.error == {"type": "invalid_request_error", "message": message}


def test_case_58_only_the_sum_is_too_much() -> None:
    text = (
        "You passed 9000 input tokens and requested 2000 output tokens. However, the model's context length is only "
        "10000 tokens"
    )
    assert of(400, error(text)).message == "input length and `max_tokens` exceed context limit: 9000 + 2000 > 10000"


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (error("slow", code=429), 429, Throttled),
        (error("slow", code="429"), 429, Throttled),
        (error("slow", type="rate_limit_error"), 429, Throttled),
        (error("slow", type="TooManyRequests"), 429, Throttled),
        (error("busy", type="overloaded_error"), 529, Overloaded),
        (error("no", type="invalid_request_error"), 400, RequestRejected),
        (error("no", type="BadRequestError", code=400), 400, RequestRejected),
        (error("no", type="insufficient_quota"), 402, QuotaExhausted),
        (error("no", type="authentication_error"), 401, CredentialRefused),
        (error("no such model: x", type="NotFoundError"), 404, UnknownModel),
        (error("late", type="timeout"), 504, TimedOut),
        (error("bug", type="server_error"), 500, Failed),
        (error("odd", code=99, type="x"), 500, Failed),
        ({"message": "slow", "code": 429}, 429, Throttled),
        ({"error": "just words"}, 500, Failed),
        ({"error": True}, 500, Failed),
        (["nothing"], 500, Failed),
    ],
)
def test_an_error_inside_an_answer_is_known_by_its_code_or_type(
    body: Any, status: int, kind: type[UpstreamError]
) -> None:
    found = reported_error(json.dumps(body).encode())
    assert type(found) is kind
    assert found.status == status


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            of(401, error("bad key")),
            "the gateway's own credential was refused by the model server; tell the operator of the gateway",
        ),
        (
            of(402, error("pay")),
            "the gateway's account with the model server has no quota; tell the operator of the gateway",
        ),
        (of(404, error("The model `x/y` does not exist.")), "model: x/y"),
        (of(400, error("x/y is not a valid model ID")), "model: x/y"),
        (of(400, error("Invalid model name passed in model=qwen-3.5. Call `/v1/models` to view")), "model: qwen-3.5"),
        (of(404, error("no", code="model_not_found")), "model: not known to the model server"),
        (of(429, error("in organization org-AbCdEf")), "the model server limits requests: in organization [redacted]"),
        (of(429, error("")), "the model server limits requests"),
        (of(400, error("")), "the model server refused the request"),
        (of(400, {"detail": 7}), "the model server refused the request"),
        (of(400, error("bad field at http://vllm.corp/v1")), "bad field at [address]"),
        (of(422, {"detail": [{"loc": ["body", "n", 0], "msg": "bad"}, 7]}), "body.n.0: bad"),
        (of(422, {"detail": "bad"}), "bad"),
        (
            of(400, error("image input is not supported")),
            "capability_rejected: image_block: image input is not supported",
        ),
        (of(502, HTML), "the model server is overloaded or not ready"),
        (of(400, {"error": "\ud83d"}), "�"),
    ],
)
def test_what_the_caller_is_told(found: UpstreamError, message: str) -> None:
    assert found.client_message == message


@pytest.mark.parametrize(
    "text",
    [
        "The model `gpt-4.1` does not exist or you do not have access to it.",
        'model "qwen3:8b" not found, try pulling it first',
        "Model Not Exist",
        "Invalid model: x",
        "No endpoints found for x/y.",
        "The requested model 'x' does not exist.",
        "x/y is not a valid model ID",
        "Model not found",
        "/chat/completions: Invalid model name passed in model=x. Call `/v1/models` to view available models.",
    ],
)
def test_an_unknown_model_in_each_servers_words(text: str) -> None:
    assert type(of(404, error(text))) is UnknownModel
    assert type(of(400, error(text))) is UnknownModel


@pytest.mark.parametrize(
    "text",
    [
        "This model was asked for a tool that was not found",
        "tool 'x' not found",
        "The model expects a file; file not found",
    ],
)
def test_something_else_that_is_not_found_is_no_unknown_model(text: str) -> None:
    assert type(of(400, error(text))) is RequestRejected


def test_the_operator_is_told_the_status_and_the_codes_that_are_known() -> None:
    found = of(401, error("Incorrect API key provided: sk-abcdef123456", type="Auth", code="invalid_api_key"))
    assert found.detail == "upstream 401 invalid_api_key"
    assert found.should_retry is False
    assert of(503, HTML).detail == "upstream 503"


@pytest.mark.parametrize("code", ["9" * 65_000, 10**4000, -1, "x" * 65_000, "\ud800", "٤٠٠", True, 1.5, [400], None])
def test_any_code_is_some_error(code: Any) -> None:
    assert type(of(400, error("no", code=code, type=code, status=code))) is RequestRejected
    assert len(of(400, error("no", code=code, type=code, status=code)).detail) < 100


def test_a_wait_is_kept() -> None:
    assert of(429, error(), retry_after="7").retry_after == 7
    assert of(429, error("Please try again in 20s.")).retry_after == 20
    assert of(503, error(), retry_after="3").retry_after == 3
    assert of(429, error()).retry_after is None


def test_a_timeout_names_its_phase() -> None:
    found = of(504, error())
    assert isinstance(found, TimedOut)
    assert found.phase == "first_byte"


@given(st.integers(200, 599), st.binary(max_size=60))
def test_any_answer_is_some_error(status: int, body: bytes) -> None:
    assert isinstance(upstream_error(status, body, {}), UpstreamError)


_json = st.recursive(
    st.none() | st.integers() | st.sampled_from(["error", "{}", '{"error":"x"}', "model x not found"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "type", "metadata", "raw", "detail", "loc"]), inner
        )
    ),
    max_leaves=6,
)


@given(_json)
def test_any_json_is_some_error(body: Any) -> None:
    found = reported_error(json.dumps(body).encode())
    assert found.message
    assert check_stream(streamed(sse({"error": body or "x"})).data)["error"]
