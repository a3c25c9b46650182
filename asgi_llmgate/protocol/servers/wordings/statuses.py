"""Errors that mean something else than their status: credentials, unknown models, firewalls, loading models."""

from __future__ import annotations

import re
from typing import NamedTuple

from asgi_llmgate.errors import (
    Blocked,
    CredentialRefused,
    Overloaded,
    RequestRejected,
    Throttled,
    TooLarge,
    UnknownModel,
    UpstreamError,
)

_FIREWALL_MESSAGE = (
    "a firewall in front of the model server refused the request; the operator of the gateway can have it allowed"
)
_REGION_MESSAGE = (
    "the model server does not serve the country or region that the gateway's requests come from; tell the operator of "
    "the gateway"
)


_POLICY_MESSAGE = (
    "the privacy settings of the gateway's account exclude every server of this model; tell the operator of the gateway"
)

_NO_TOOL_CALLING_MESSAGE = (
    "the model server was started without tool calling, which every coding agent needs; tell the operator of the "
    "gateway"
)


class Rule(NamedTuple):
    """What a text with one of some statuses means.  `message` is the gateway's own text, if not the one of `error`."""

    statuses: frozenset[int]
    pattern: re.Pattern[str]
    error: type[UpstreamError]
    message: str = ""


def _rule(statuses: tuple[int, ...], pattern: str, error: type[UpstreamError], message: str = "") -> Rule:
    return Rule(frozenset(statuses), re.compile(pattern, re.DOTALL), error, message)


ERROR_RULES = (
    _rule(  # AWS, GitHub, proxies
        (400, 403, 500),
        r"throttlingexception|rate_limit_exceeded|rate limit (?:exceeded|reached)|secondary rate limit"
        r"|too many requests",
        Throttled,
    ),
    _rule(
        (400, 500),
        r"--enable-auto-tool-choice|--tool-call-parser|tools param requires --jinja",  # vLLM, NIM, SGLang; llama.cpp
        RequestRejected,
        _NO_TOOL_CALLING_MESSAGE,
    ),
    _rule((403,), r"moderation|flagged|content[_ ]?(?:filter|policy)|data_?inspection", RequestRejected),
    _rule((400, 403), r"unsupported_country|country, region|user location is not supported", Blocked, _REGION_MESSAGE),
    _rule(
        (404,), r"guardrail restrictions|your data policy|no allowed providers", Blocked, _POLICY_MESSAGE
    ),  # OpenRouter
    _rule(
        (403,),
        r"error 10\d\d: |you have been blocked|request blocked|firewall|check your network settings",
        Blocked,
        _FIREWALL_MESSAGE,
    ),
    _rule(
        (400, 401, 403),
        r"model_not_found|(?:not have|no) access to (?:the )?model|model access is denied"
        r"|(?:key|team)_model_access_denied|not allowed to (?:access model|use publisher model)"  # LiteLLM, Vertex
        r"|(?:requested )?model is not supported(?! when)|model_not_supported",  # Copilot
        UnknownModel,
    ),
    # LiteLLM 1.108.7 looks up an unknown key in a database, and says so where it has none.
    _rule(
        (400,),
        r"invalid_api_key|api_key_invalid|api key (?:not valid|expired)|(?:incorrect|invalid) api[ -]?key|invalidapikey"
        r"|no_db_connection|unrecognizedclientexception|expiredtokenexception"
        r"|security token .{0,60}?(?:invalid|expired)|iam_permission_denied",
        CredentialRefused,
    ),
    _rule((404,), r"no endpoints found that support", RequestRejected),
    _rule((400,), r"'body' failed to satisfy constraint: member must have length", TooLarge),  # Bedrock
    _rule((400,), r"degraded function cannot be invoked", Overloaded),  # NVIDIA's hosted NIM
    _rule(
        (400, 404, 422),
        r"model_not_found|deploymentnotfound|not a valid model|no such model|invalid model\b|no endpoints found for"
        r"|not found for account|has not activated the model|modelnotopen|model or endpoint \S{1,200} does not exist"
        r"|(?:model|deployment)\b:? ?(?:[`'\"][^`'\"]{1,200}[`'\"]|\S{1,200})? ?"
        r"(?:was |is |does )?not (?:found|exist|available)",
        UnknownModel,
    ),
    _rule((400, 500), r"loading model|model is (?:still |currently )?loading", Overloaded),
    # llama.cpp: its chat template refuses the messages.
    _rule((500,), r"mmproj|system message must be|roles must alternate", RequestRejected),
)
"""`errors.classes`: what a text with one of these statuses means, where the status alone would mean something else.
Text and codes in lower case."""

TEXT_STATUSES = tuple(
    (re.compile(pattern), status)
    for pattern, status in (
        (r"rate.?limit|too many requests|limit reached|\bqps\b", 429),
        (r"overloaded|\bbusy\b|at capacity|try again later", 529),
        (r"api.?key|access token|credential|unauthori[sz]ed|authenticat", 401),
    )
)
"""`errors.classes`: the status of an error inside a 200 that has no code which says so (Baidu).  In lower case."""

UNKNOWN_MODEL_NAME = re.compile(
    r"(?:model|deployment)\b[^`'\"]{0,40}[`'\"]([^`'\"\s]{1,200})[`'\"]|(\S{1,200}) is not a valid model"
    r"|invalid model name passed in model=(\S{1,200}?)\.?(?:\s|$)",  # LiteLLM 1.108.7
    re.IGNORECASE,
)
"""`errors.upstream_errors`: the name of the model in an error that says that there is none."""
