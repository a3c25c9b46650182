"""Statuses and error codes: which error they mean, and which codes may be in a log.

Codes are what servers write as `code`, `type` or `status` into an error, in lower case here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from asgi_llmgate.errors import (
    Broken,
    CredentialRefused,
    Failed,
    Overloaded,
    QuotaExhausted,
    Throttled,
    TimedOut,
    TooLarge,
    UnknownModel,
    UpstreamError,
)

STATUS_ERRORS: Mapping[int, type[UpstreamError]] = MappingProxyType(
    {
        401: CredentialRefused,
        402: QuotaExhausted,
        403: CredentialRefused,
        404: Broken,
        405: Broken,
        408: TimedOut,
        409: Overloaded,
        410: UnknownModel,  # NVIDIA: the model has been removed
        413: TooLarge,
        424: Failed,  # TGI: the generation failed
        425: Overloaded,
        429: Throttled,
        498: Overloaded,  # Groq: the capacity of its flex tier
        499: Overloaded,  # nginx: the connection between a proxy and the server was closed
        502: Overloaded,
        503: Overloaded,
        504: TimedOut,
        # 520 to 530 are Cloudflare's.
        520: Overloaded,
        521: Overloaded,
        522: TimedOut,
        523: Overloaded,
        524: TimedOut,
        529: Overloaded,  # Anthropic
        530: Overloaded,
    }
)
"""The error that a status means by itself.  Any other 4xx is RequestRejected, any other 5xx Failed."""

_CODE_STATUSES: Mapping[str, int] = MappingProxyType(
    {
        "insufficient_quota": 402,
        "billing_error": 402,
        "arrearage": 402,
        "rate_limit": 429,
        "too_many_requests": 429,
        "toomanyrequests": 429,
        "resource_exhausted": 429,
        "throttling": 429,
        "servicequotaexceeded": 429,
        "overloaded": 529,
        "unavailable": 503,
        "modelnotready": 503,
        "timeout": 504,
        "deadline_exceeded": 504,
        "context_length_exceeded": 400,
        "exceed_context_size": 400,
        "model_not_found": 404,
        "not_found": 404,
        "notfound": 404,
        "invalid_api_key": 401,
        "invalidapikey": 401,
        "authentication": 401,
        "unrecognizedclient": 401,
        "expiredtoken": 401,
        "accessdenied": 403,
        "permission": 403,
        "invalid": 400,
        "badrequest": 400,
        "validation": 400,
        "datainspection": 400,
    }
)
"""The status that a code stands for.  A code that contains one of these counts as it; the first in this order counts,
so a broad one (`invalid`) stands behind the narrow ones."""

_NUMBERS: Mapping[str, int] = MappingProxyType(
    {
        # Zhipu: https://docs.z.ai/api-reference/api-code
        **dict.fromkeys(("1000", "1001", "1002", "1003", "1004", "1110", "1111", "1112", "1121"), 401),
        **dict.fromkeys(("1113", "1309"), 402),
        **dict.fromkeys(("1210", "1212", "1213", "1214", "1215", "1261", "1301"), 400),
        "1211": 404,
        **dict.fromkeys(("1220", "1311"), 403),
        **dict.fromkeys(("1302", "1303", "1304", "1305", "1308", "1310", "1312"), 429),
        # MiniMax: https://platform.minimax.io/docs/api-reference/errorcode
        "base_resp_1001": 504,
        **dict.fromkeys(("base_resp_1002", "base_resp_1039", "base_resp_2056"), 429),
        **dict.fromkeys(("base_resp_1004", "base_resp_2049"), 401),
        **dict.fromkeys(("base_resp_1008", "base_resp_2061"), 402),
        **dict.fromkeys(("base_resp_1026", "base_resp_1027", "base_resp_1042", "base_resp_2013"), 400),
        # SiliconFlow
        "20012": 404,
        "20015": 400,
        "30001": 402,
        "50505": 503,
    }
)
"""The status that a number stands for."""

_KNOWN = re.compile(
    # Anthropic
    r"(?:api|authentication|billing|invalid_request|not_found|overloaded|permission|rate_limit|timeout)_error"
    r"|request_too_large"
    # OpenAI
    r"|account_deactivated|billing_(?:hard_limit_reached|not_active)|context_length_exceeded|content_policy_violation"
    r"|engine_overloaded|insufficient_quota|integer_(?:above_max|below_min)_value|string_(?:above_max|below_min)_length"
    r"|invalid_(?:api_key|function_parameters|image|prompt|request|type|value)|missing_required_parameter"
    r"|model_not_found|rate_limit_exceeded|requests|tokens|server_error|unknown_parameter"
    r"|unsupported_(?:country_region_territory|parameter|value)"
    # Azure
    r"|content_filter|deploymentnotfound|responsibleaipolicyviolation|toomanyrequests"
    # vLLM, SGLang
    r"|(?:badrequest|internalserver|notfound|notimplemented|serviceunavailable|unprocessableentity)error"
    r"|(?:bad_request|internal_server)_error"
    # llama.cpp
    r"|(?:exceed_context_size|not_supported|unavailable)_error"
    # AWS, Groq, GitHub Models, Moonshot, MiniMax
    r"|(?:throttling|validation|accessdenied|modelnotready|expiredtoken|unrecognizedclient)exception"
    r"|tool_use_failed|output_parse_failed|json_validate_failed|tokens_limit_reached|exceeded_current_quota_error"
    r"|engine_overloaded_error|rate_limit_reached_error|base_resp_\d{4}"
    # Google: google.rpc.Code
    r"|aborted|already_exists|cancelled|deadline_exceeded|failed_precondition|internal|invalid_argument|not_found"
    r"|out_of_range|permission_denied|resource_exhausted|unauthenticated|unavailable|unimplemented"
    # LiteLLM, one-api, Copilot, DashScope
    r"|contextwindowexceedederror|contentpolicyviolationerror|no_db_connection|bad_response_status_code|upstream_error"
    r"|budget_exceeded"
    r"|model_max_prompt_tokens_exceeded|arrearage|bad_request|service_unavailable|timeout|too_many_requests"
)
"""Codes that may be in a log and in usage records."""


def known_codes(codes: str) -> str:
    """The codes among `codes` (separated by spaces) that may be in a log, each once and in order.

    A server fills its fields as it likes, and some put there what they were sent.  No pattern can tell a code from a
    word of a prompt, so only codes on the list above are ever logged.
    """
    return " ".join(dict.fromkeys(code for code in codes.split() if _KNOWN.fullmatch(code)))


def status_of(codes: str) -> int:
    """The status that codes stand for, for an error that comes without one; 0 for unknown ones."""
    for code in codes.split():
        if code in _NUMBERS:
            return _NUMBERS[code]
    return next((status for code, status in _CODE_STATUSES.items() if code in codes), 0)
