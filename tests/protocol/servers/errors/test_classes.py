from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.errors import (
    Blocked,
    CredentialRefused,
    Failed,
    Overloaded,
    PromptTooLong,
    QuotaExhausted,
    RequestRejected,
    Throttled,
    TooLarge,
    UnknownModel,
    UpstreamError,
)
from asgi_llmgate.protocol.servers.errors.classes import find_status
from asgi_llmgate.protocol.servers.errors.report_fields import ErrorReport
from asgi_llmgate.protocol.servers.errors.upstream_errors import upstream_error


def openai(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            400,
            {"status": 400, "title": "Bad Request", "detail": "Function id 'x': DEGRADED function cannot be invoked"},
            Overloaded,
        ),
        (404, {"status": 404, "title": "Not Found", "detail": "Function 'x': Not found for account 'y'"}, UnknownModel),
        (410, {"status": 410, "title": "Gone", "detail": "The model has reached its end of life"}, UnknownModel),
        (429, {"status": 429, "title": "Too Many Requests"}, Throttled),
        (400, {"__type": "ThrottlingException", "message": "Rate exceeded"}, Throttled),
        (403, {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}, Throttled),
        (500, openai("litellm.RateLimitError: Rate limit reached for m. Please try again in 2s."), Throttled),
        (400, openai("tool 'rate_limiter' is odd"), RequestRejected),
        (
            403,
            {"code": "The caller has no permission", "error": "Your newly created teams doesn't have any credits yet."},
            QuotaExhausted,
        ),
        (403, {"code": "x", "error": "You have run out of credits or need a Grok subscription."}, QuotaExhausted),
        (
            400,
            openai("Budget has been exceeded! Current cost: 10.0, Max budget: 10.0", type="budget_exceeded"),
            QuotaExhausted,
        ),
        (403, {"error": "this model requires a subscription, upgrade for access"}, QuotaExhausted),
        (401, openai("key not allowed to access model. This key can only access models=['x']"), UnknownModel),
        (403, openai("Project `proj_1` does not have access to model `gpt-9`", code="model_not_found"), UnknownModel),
        (400, openai("Project is not allowed to use Publisher Model `x`", status="FAILED_PRECONDITION"), UnknownModel),
        (
            400,
            {"message": "Value at 'body' failed to satisfy constraint: Member must have length less than 25000000"},
            TooLarge,
        ),
        (404, openai("No endpoints available matching your guardrail restrictions and data policy."), Blocked),
        (404, openai("No allowed providers are available for the selected model."), Blocked),
        (400, openai("User location is not supported for the API use.", status="FAILED_PRECONDITION"), Blocked),
        (
            403,
            openai("Country, region, or territory not supported", code="unsupported_country_region_territory"),
            Blocked,
        ),
        (403, {"title": "Error 1010: Access denied", "status": 403, "cloudflare_error": True}, Blocked),
        (
            400,
            openai("The response was filtered due to the prompt triggering Azure's policy", code="content_filter"),
            RequestRejected,
        ),
        (400, openai("API key expired. Please renew the API key.", status="INVALID_ARGUMENT"), CredentialRefused),
        (503, {"error": "Model x is currently loading", "estimated_time": 20.0}, Overloaded),
        (400, openai("The requested model is not supported.", code="model_not_supported"), UnknownModel),
        (403, openai("No access to model: openai/gpt-9", code="no_access"), UnknownModel),
        (404, openai("Your account 21 has not activated the model doubao.", code="ModelNotOpen"), UnknownModel),
        (404, openai("The model or endpoint x does not exist or you do not have access to it."), UnknownModel),
        (403, openai("your account has an overdue balance", code="AccountOverdueError"), QuotaExhausted),
        (429, openai("Your account [1] has reached the set inference limit for the [x] model"), QuotaExhausted),
        (403, openai("Access denied. Please check your network settings."), Blocked),
        (400, openai("Permission denied", details=[{"reason": "IAM_PERMISSION_DENIED"}]), CredentialRefused),
        (498, openai("flex tier capacity exceeded"), Overloaded),
        (424, {"error": "Request failed during generation", "error_type": "generation"}, Failed),
        (499, {"message": "client closed request"}, Overloaded),
        (530, b"error code: 1016", Overloaded),
        (401, {"Response": {"Error": {"Code": "AuthFailure", "Message": "The token is invalid"}}}, CredentialRefused),
        (
            400,
            {"error_code": "BAD_REQUEST", "message": '{"message":"Input is too long for requested model."}'},
            PromptTooLong,
        ),
        (429, {"statusCode": 429, "message": "Rate limit is exceeded. Try again in 34 seconds."}, Throttled),
    ],
)
def test_what_an_error_means_where_its_status_says_something_else(
    status: int, body: Any, kind: type[UpstreamError]
) -> None:
    found = upstream_error(status, body if isinstance(body, bytes) else json.dumps(body).encode(), {})
    assert type(found) is kind
    assert found.status == status


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (
            403,
            b"<!DOCTYPE html><title>Attention Required! | Cloudflare</title>Sorry, you have been blocked",
            Blocked,
            "firewall",
        ),
        (
            403,
            b"<html><h1>Access Denied</h1>You don't have permission. Reference #18.2d351ab8</html>",
            Blocked,
            "firewall",
        ),
        (
            403,
            b"<HTML><H1>403 ERROR</H1>The request could not be satisfied.<p>Request blocked.</HTML>",
            Blocked,
            "firewall",
        ),
        (200, b"<html>The requested URL was rejected. Your support ID is: 1234</html>", Blocked, "firewall"),
        (406, b"<html>Not Acceptable! This error was generated by Mod_Security.</html>", Blocked, "firewall"),
        (403, b"error code: 1010", Blocked, "firewall"),
        (503, b"<html><title>Just a moment...</title></html>", Blocked, "firewall"),
        (403, b"<html><center><h1>403 Forbidden</h1></center><hr>nginx</html>", Blocked, "proxy"),
        (401, b"<html><h1>401 Authorization Required</h1>nginx</html>", Blocked, "another credential"),
        (403, b"RBAC: access denied", Blocked, "proxy"),
        (403, b"", Blocked, "proxy"),
        (407, b"", Blocked, "credential"),
        (200, b"<html><title>Sign in to your account</title></html>", Blocked, "sign-in page"),
        (302, b"", Blocked, "redirect"),
        (302, b"<a href='https://login.test/oauth2/authorize?client_id=1'>", Blocked, "sign-in page"),
        (401, b"Unauthorized", CredentialRefused, "own credential"),
        (401, b"", CredentialRefused, "own credential"),
        (413, b"<html><h1>413 Request Entity Too Large</h1>nginx</html>", TooLarge, "size"),
        (429, b"error code: 1015", Throttled, "limits requests"),
        (503, b"no healthy upstream", Overloaded, "no healthy upstream"),
        (503, b"<html><h1>503 Service Temporarily Unavailable</h1></html>", Overloaded, "overloaded or not ready"),
        (403, b"<Error><Code>AccessDenied</Code></Error>", CredentialRefused, "own credential"),
        (503, b"<x></x>", Overloaded, "not ready"),
    ],
)
def test_who_has_responded(status: int, body: bytes, kind: type[UpstreamError], words: str) -> None:
    found = upstream_error(status, body, {})
    assert type(found) is kind
    assert words in found.client_message
    if kind is Blocked:
        assert "own credential" not in found.client_message
        assert found.should_retry is False
        assert "operator of the gateway" in found.client_message


@pytest.mark.parametrize(("status", "should_retry"), [(404, False), (405, False), (400, None), (500, None)])
def test_an_address_without_chat_completions_is_not_tried_again(status: int, should_retry: bool | None) -> None:
    assert upstream_error(status, b'{"detail":"Not Found"}', {}).should_retry is should_retry


def test_a_model_that_is_still_loaded_says_when() -> None:
    found = upstream_error(503, b'{"error":"Model x is currently loading","estimated_time":20.5}', {})
    assert found.retry_after == 20.5


def test_the_code_of_aws_may_stand_in_a_header() -> None:
    found = upstream_error(400, b'{"message":"no"}', {"x-amzn-errortype": "ExpiredTokenException:http://internal/"})
    assert type(found) is CredentialRefused


@pytest.mark.parametrize(
    ("report", "status"),
    [
        (ErrorReport("x", "503", 503), 503),
        (ErrorReport("x", "throttlingexception"), 429),
        (ErrorReport("x", "1302"), 429),
        (ErrorReport("x", "base_resp_1302"), 500),
        (ErrorReport("Open api qps request limit reached"), 429),
        (ErrorReport("Invalid API-Key provided"), 401),
        (ErrorReport("the server is busy"), 529),
        (ErrorReport("boom"), 500),
    ],
)
def test_the_status_of_an_error_that_comes_without_one(report: ErrorReport, status: int) -> None:
    assert find_status(report) == status
