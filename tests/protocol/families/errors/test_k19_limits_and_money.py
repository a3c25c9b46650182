"""A limit that is over soon is a 429 with the time, used-up money is a 402, and a limit of a day is not tried again in
a minute: whatever words and statuses a vendor has for them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.errors import NOT_SOON, CredentialRefused, QuotaExhausted, Throttled, UpstreamError
from asgi_llmgate.protocol.error_bodies import error_headers
from asgi_llmgate.protocol.servers.errors.retry_after import MAX_WAIT, seconds_to_wait
from asgi_llmgate.protocol.servers.errors.upstream_errors import reported_error, upstream_error
from tests.protocol.responses import sse, streamed

NOW = 1_790_000_000.0


def error(status: int, body: Any, **headers: str) -> UpstreamError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return upstream_error(status, json.dumps(body).encode(), named, now=NOW)


def openai(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


GEMINI = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits.\n* Quota exceeded for metric: "
    "generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: {limit}, model: gemini-3.6-flash"
)


def gemini(*quota_ids: str, limit: int = 20, delay: str = "", text: str = "") -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = [
        {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"quotaMetric": "m", "quotaId": quota_id} for quota_id in quota_ids],
        },
        {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"description": "Learn more", "url": "https://x"}]},
    ]
    if delay:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    message = GEMINI.format(limit=limit) + text
    return [{"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}}]


MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"

WAITS: dict[str, tuple[Any, float | None]] = {
    "Gemini": (gemini(MINUTE, delay="36s", text="\nPlease retry in 36.42s."), 36),
    "Gemini, only in the text": (gemini(text="\nPlease retry in 36.429760048s."), 36.429760048),
    "Gemini, only in RetryInfo": (gemini("GenerateContentInputTokensPerModelPerMinute-FreeTier", delay="26s"), 26),
    "Gemini, no time": (gemini(MINUTE), None),
    "Vertex": (
        [openai("Resource exhausted. Please try again later.", code=429, status="RESOURCE_EXHAUSTED")],
        None,
    ),
    "DashScope": (
        openai(
            "You exceeded your current quota, please check your plan and billing details. For details, see: "
            "https://help.aliyun.com/zh/model-studio/error-code#token-limit",
            type="insufficient_quota",
            code="insufficient_quota",
        ),
        None,
    ),
    "DashScope, its own form": (
        {
            "code": "Throttling.AllocationQuota",
            "message": "Allocated quota exceeded, please increase your quota limit.",
        },
        None,
    ),
    "OpenAI": (openai("Rate limit reached for gpt-4o on TPM: Limit 30000. Please try again in 1.2s."), 1.2),
    "OpenAI, minutes": (openai("Rate limit reached on RPM. Please try again in 6m0s."), 360),
    "OpenAI, milliseconds": (openai("Rate limit reached. Please try again in 120ms."), 0.12),
    "Groq, a day": (
        openai(
            "Rate limit reached for model `x` on tokens per day (TPD): Limit 100000, Used 99900, Requested 5000. "
            "Please try again in 7m26.4s."
        ),
        446.4,
    ),
    "Azure": (openai("You have exceeded token rate limit of your S0 tier. Please retry after 26 seconds."), 26),
    "Azure, a day": (openai("You have exceeded call rate limit. Please retry after 86400 seconds."), 86400),
    "GitHub Models": (
        openai("Rate limit of 50 per 86400s exceeded for UserByModelByDay. Please wait 36075 seconds before retrying."),
        36075,
    ),
    "Copilot": (openai("Sorry, you've hit a rate limit. Please try again in 58 hours."), 58 * 3600),
    "Copilot, minutes": (
        openai("Sorry, your request was rate-limited. Please wait 71 minutes before trying."),
        71 * 60,
    ),
    "Moonshot": (openai("max RPM: 3, please try again after 1 seconds", type="rate_limit_reached_error"), 1),
    "OpenRouter": (
        openai(
            "Rate limit exceeded: free-models-per-min.",
            code=429,
            metadata={"headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int((NOW + 20) * 1000))}},
        ),
        20,
    ),
    "a field": ({"error": {"message": "slow"}, "retry_after": 7}, 7),
    "CLIProxyAPI": (openai("All credentials are cooling down", reset_seconds=28, reset_time="28s"), 28),
    "Cerebras": ({"message": "Tokens per minute limit exceeded - too many tokens processed."}, None),
    "Bedrock": (
        {"__type": "ThrottlingException", "message": "Too many tokens, please wait before trying again."},
        None,
    ),
    "Zhipu": ({"error": {"code": "1302", "message": "您的账户已达到速率限制，请您控制请求频率"}}, None),
}


@pytest.mark.parametrize("name", WAITS)
def test_a_limit_that_is_over_soon_is_a_429_with_its_time(name: str) -> None:
    body, wait = WAITS[name]
    found = error(429, body)
    assert type(found) is Throttled
    assert found.retry_after == (wait if wait is None else pytest.approx(wait))
    assert found.should_retry is None


@pytest.mark.parametrize("name", [name for name in WAITS if name != "OpenRouter"])
def test_so_it_is_in_a_stream(name: str) -> None:
    body, wait = WAITS[name]
    first = body[0] if isinstance(body, list) else body
    report = {"error": {**first.get("error", first), "status": 429}, "retry_after": first.get("retry_after")}
    found = reported_error(json.dumps(report).encode())
    assert type(found) is Throttled
    assert found.retry_after == (wait if wait is None else pytest.approx(wait))
    assert streamed(sse(report)).error["type"] == "rate_limit_error"


LONG = {
    "Gemini, a day, with a time that is too short": gemini(DAY, delay="36s", text="\nPlease retry in 36.42s."),
    "Gemini, all its limits": gemini(MINUTE, DAY, delay="5s"),
    "Ollama": {"error": "you (someone) have reached your weekly usage limit, upgrade for higher limits"},
    "Ollama, a session": {"error": "you have reached your session usage limit, please wait or upgrade to continue"},
    "Ollama, an hour": {"error": "you've reached your hourly usage limit, please wait or upgrade to continue"},
    "OpenRouter": openai("Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 requests", code=429),
    "Zhipu": {"error": {"code": "1308", "message": "已达到 5 小时的使用上限。您的限额将在 2026-08-25 07:41:44 重置。"}},
    "Cloud Code": openai("Quota exceeded for quota metric 'Gemini 2.5 Pro Requests' and limit 'Requests per day'"),
    "MiniMax": {"base_resp": {"status_code": 2056, "status_msg": "usage limit exceeded"}},
}


@pytest.mark.parametrize("name", LONG)
def test_a_limit_of_a_day_is_not_tried_again_within_a_minute(name: str) -> None:
    found = error(429, LONG[name])
    assert type(found) is Throttled
    assert found.retry_after is not None
    assert found.retry_after >= NOT_SOON


EXHAUSTED = {
    "OpenAI": (429, openai("You exceeded your current quota, please check your plan", code="insufficient_quota")),
    "OpenAI, the hard limit": (429, openai("Billing hard limit has been reached", code="billing_hard_limit_reached")),
    "Gemini, nothing is free": (429, gemini(DAY, limit=0, delay="36s", text="\nPlease retry in 36.42s.")),
    "Gemini, prepaid": (429, gemini()),
    "Anthropic": (400, openai("Your credit balance is too low to access the Anthropic API.")),
    "DeepSeek": (402, openai("Insufficient Balance", code="invalid_request_error")),
    "OpenRouter": (402, openai("Insufficient credits. Add more using https://openrouter.ai/settings/credits")),
    "OpenRouter, nearly nothing left": (
        402,
        openai(
            "This request requires more credits, or fewer max_tokens. You requested up to 4096 tokens, but can only"
        ),
    ),
    "Moonshot": (
        429,
        openai(
            "Your account org-44 <ak-f8> is suspended due to insufficient balance, please recharge your account",
            type="exceeded_current_quota_error",
        ),
    ),
    "Moonshot, not active": (
        403,
        openai("Your account <ak> is not active, exceeded current quota", type="exceeded_current_quota_error"),
    ),
    "MiniMax, 500": (500, openai("insufficient balance (1008)", type="api_error")),
    "MiniMax, 429": (429, openai("insufficient balance (1008)", http_code="429", type="insufficient_balance_error")),
    "Zhipu": (429, {"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}}),
    "Zhipu, in English": (429, {"error": {"code": "1113", "message": "Insufficient balance or no resource package."}}),
    "DashScope": (
        400,
        {"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing."},
    ),
    "DashScope, free": (
        403,
        openai("The free tier of the model has been exhausted.", code="AllocationQuota.FreeTierOnly"),
    ),
    "SiliconFlow": (403, {"code": 30001, "message": "Sorry, your account balance is insufficient", "data": None}),
    "Together": (402, openai("Credit limit exceeded. Please navigate to settings to add credit", type="credit_limit")),
    "Fireworks": (
        412,
        openai(
            "Account x is suspended, possibly due to reaching the monthly spending limit or failure to pay invoices"
        ),
    ),
    "xAI": (
        429,
        {
            "code": "Some resource has been exhausted",
            "error": "Your team has either used all available credits or reached",
        },
    ),
    "Cloudflare": (429, {"errors": [{"message": "you have used up your daily free allocation of 10,000 neurons"}]}),
    "Copilot": (402, openai("You have no quota", code="quota_exceeded")),
    "Hugging Face": (402, {"error": "You have exceeded your monthly included credits for Inference Providers."}),
    "Novita": (403, {"code": 403, "reason": "NOT_ENOUGH_BALANCE", "message": "not enough balance", "metadata": {}}),
    "Zen": (401, openai("Insufficient balance. Manage your billing here", type="CreditsError")),
}


@pytest.mark.parametrize("name", EXHAUSTED)
def test_used_up_money_is_told_as_that_and_not_tried_again(name: str) -> None:
    status, body = EXHAUSTED[name]
    found = error(status, body)
    assert type(found) is QuotaExhausted
    told = "the gateway's account with the model server has no quota; tell the operator of the gateway"
    assert found.client_message == told
    assert (b"x-should-retry", b"false") in error_headers(found, "req_1")


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "tool 'insufficient_fund_check' is odd"),
        (401, "Incorrect API key provided"),
        (429, "Too many concurrent requests"),
    ],
)
def test_other_errors_are_not_about_money(status: int, text: str) -> None:
    assert type(error(status, openai(text))) is not QuotaExhausted


def test_words_about_money_that_the_server_quotes_are_not_its_own() -> None:
    quoting = {"detail": [{"loc": ["body", "x"], "msg": "bad", "input": "insufficient balance"}]}
    assert type(error(422, quoting)) is not QuotaExhausted
    text = (
        "1 validation error: {'type': 'literal_error', 'loc': ('body',), 'msg': 'bad', 'input': 'insufficient balance'}"
    )
    assert type(error(400, openai(text))) is not QuotaExhausted


@pytest.mark.parametrize(
    ("headers", "text", "wait"),
    [
        ({"retry-after": "9"}, "Please retry in 36s", 9),
        ({"retry-after-ms": "1500", "retry-after": "2"}, "", 1.5),
        ({"x-ratelimit-reset-tokens": "7.66s", "x-ratelimit-reset-requests": "2m59s"}, "try again in 7.66s", 7.66),
        ({"x-ratelimit-reset": str(int(NOW) + 40)}, "", 40),
        ({"x-ratelimit-reset": str(int(NOW) - 40)}, "", 0),
        ({"x-ratelimit-reset": "40"}, "", 40),
        ({"x-ratelimit-reset": "9" * 12}, "", MAX_WAIT),
        ({"x-ratelimit-reset": "soon"}, "", None),
        ({}, "retry in 999999999s", MAX_WAIT),
        ({}, "retry your request after 3 minutes", 180),
        ({}, "Your limit resets in 2 days.", 172800),
        ({}, "wait for 500 milliseconds", 0.5),
        ({}, "try again in 1h2m3.5s.", 3723.5),
        ({}, "wait 5 miles", None),
        ({}, "We waited 30 seconds for a worker", None),
        ({}, "retry", None),
    ],
)
def test_each_way_of_stating_a_time(headers: dict[str, str], text: str, wait: float | None) -> None:
    assert seconds_to_wait(headers, text, now=NOW) == (wait if wait is None else pytest.approx(wait))


def test_a_time_needs_a_clock_and_a_limit() -> None:
    headers = {"x-ratelimit-reset": str(int(NOW) + 40), "x-ratelimit-reset-tokens": "5s"}
    assert seconds_to_wait({"x-ratelimit-reset": str(int(NOW) + 40)}) is None
    assert seconds_to_wait(headers, limited=False, now=NOW) is None
    # A server that is overloaded sends the headers of its limits as well.
    assert error(503, openai("busy"), x_ratelimit_reset_tokens="5m0s").retry_after is None
    assert error(429, openai("slow"), x_ratelimit_reset_tokens="5m0s").retry_after == 300


def test_a_key_that_is_refused_at_429_words_is_still_a_key() -> None:
    assert type(error(401, {"error": {"code": "1002", "message": "token expired"}})) is CredentialRefused
