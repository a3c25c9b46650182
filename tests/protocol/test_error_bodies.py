from __future__ import annotations

import json

import pytest

from asgi_llmgate.errors import (
    AuthenticationFailed,
    GateError,
    InternalError,
    InvalidRequest,
    KeysUnavailable,
    MethodNotAllowed,
    QuotaExhausted,
    RateLimited,
    ThreadsUnsupported,
    Throttled,
)
from asgi_llmgate.protocol.error_bodies import anthropic_error, error_headers, openai_error


def test_anthropics_envelope() -> None:
    assert json.loads(anthropic_error(InvalidRequest('no "x"'), "req_1")) == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": 'no "x"'},
        "request_id": "req_1",
    }


def test_a_case_with_a_code_of_its_own_names_it() -> None:
    assert json.loads(anthropic_error(ThreadsUnsupported("thread: no"), ""))["error"] == {
        "type": "invalid_request_error",
        "message": "thread: no",
        "details": {"error_code": "thread_unsupported_request"},
    }


def test_without_a_request_id_there_is_none() -> None:
    assert "request_id" not in json.loads(anthropic_error(InvalidRequest("no"), ""))


def test_openais_envelope() -> None:
    assert json.loads(openai_error(Throttled("slow"), "req_1")) == {
        "error": {"message": "slow", "type": "rate_limit_error", "param": None, "code": None}
    }


def test_the_operators_detail_stays_with_the_operator() -> None:
    error = InternalError("internal error", detail="a traceback")
    assert b"traceback" not in anthropic_error(error, "req_1") + openai_error(error, "req_1")


CHALLENGED = AuthenticationFailed("no token")
CHALLENGED.challenge = 'Bearer error="invalid_token"'
CHALLENGED.should_retry = False


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (InvalidRequest("no"), {}),
        (RateLimited("slow", retry_after=0.2), {b"retry-after": b"1"}),
        (KeysUnavailable("later"), {b"retry-after": b"5"}),
        (QuotaExhausted("empty"), {b"x-should-retry": b"false"}),
        (CHALLENGED, {b"x-should-retry": b"false", b"www-authenticate": b'Bearer error="invalid_token"'}),
        (MethodNotAllowed("POST"), {b"allow": b"POST"}),
    ],
    ids=["plain", "rounded up", "seconds", "no retry", "challenge", "allow"],
)
def test_the_headers(error: GateError, headers: dict[bytes, bytes]) -> None:
    always = {b"content-type": b"application/json", b"request-id": b"req_1"}
    assert dict(error_headers(error, "req_1")) == always | headers


def test_a_retry_can_be_asked_for() -> None:
    error = GateError("again")
    error.should_retry = True
    assert (b"x-should-retry", b"true") in error_headers(error, "req_1")
