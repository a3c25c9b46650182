"""The error codes that may be written down.

A record says `upstream 400 context_length_exceeded`: the code is the one thing of a refusal that an operator can count.
But a server fills `code`, `type` and `status` as it likes, and some put there what they were sent; a pattern does not
tell a code from a word of a prompt.  So only codes that are on a list of ours are written down, whoever says them.
"""

from __future__ import annotations

import re

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
    # Google: google.rpc.Code
    r"|aborted|already_exists|cancelled|deadline_exceeded|failed_precondition|internal|invalid_argument|not_found"
    r"|out_of_range|permission_denied|resource_exhausted|unauthenticated|unavailable|unimplemented"
    # LiteLLM, one-api, Copilot, DashScope
    r"|contextwindowexceedederror|contentpolicyviolationerror|no_db_connection|bad_response_status_code|upstream_error"
    r"|model_max_prompt_tokens_exceeded|arrearage|bad_request|service_unavailable|timeout|too_many_requests"
)
"""Lower-case."""


def known_codes(codes: str) -> str:
    """Those of `codes` (lower-case, separated by blanks) that may be in a log, each once and in order."""
    return " ".join(dict.fromkeys(code for code in codes.split() if _KNOWN.fullmatch(code)))
