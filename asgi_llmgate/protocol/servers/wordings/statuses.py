"""Errors that mean something else than their status: billing, credentials, unknown models."""

from __future__ import annotations

import re

from asgi_llmgate.errors import (
    CredentialRefused,
    Overloaded,
    QuotaExhausted,
    RequestRejected,
    UnknownModel,
    UpstreamError,
)

ERROR_RULES: tuple[tuple[frozenset[int], re.Pattern[str], type[UpstreamError]], ...] = tuple(
    (frozenset(statuses), re.compile(pattern, re.DOTALL), error)
    for statuses, pattern, error in (
        (
            (400, 403, 429),
            r"insufficient_quota|billing_(?:hard_limit|not_active)|exceeded your current quota|insufficient balance"
            r"|insufficient credits|credit balance|key limit exceeded|arrearage",
            QuotaExhausted,
        ),
        ((403,), r"moderation|flagged|content[_ ]?(?:filter|policy)", RequestRejected),
        # LiteLLM 1.108.7 looks up an unknown key in a database, and says so where it has none.
        ((400,), r"invalid_api_key|api key not valid|incorrect api key|no_db_connection", CredentialRefused),
        ((404,), r"no endpoints found that support", RequestRejected),
        (
            (400, 404, 422),
            r"model_not_found|deploymentnotfound|not a valid model|no such model|invalid model\b|no endpoints found for"
            r"|(?:model|deployment)\b:? ?(?:[`'\"][^`'\"]{1,200}[`'\"]|\S{1,200})? ?"
            r"(?:was |is |does )?not (?:found|exist|available)",
            UnknownModel,
        ),
        ((400, 500), r"loading model|model is (?:still |currently )?loading", Overloaded),
        # llama.cpp: its chat template refuses the messages.
        ((500,), r"mmproj|system message must be|roles must alternate", RequestRejected),
    )
)
"""`errors.upstream_errors`: what a text with one of these statuses means, where the status alone would mean something
else.  Text and codes in lower case."""

UNKNOWN_MODEL_NAME = re.compile(
    r"(?:model|deployment)\b[^`'\"]{0,40}[`'\"]([^`'\"\s]{1,200})[`'\"]|(\S{1,200}) is not a valid model"
    r"|invalid model name passed in model=(\S{1,200}?)\.?(?:\s|$)",  # LiteLLM 1.108.7
    re.IGNORECASE,
)
"""`errors.upstream_errors`: the name of the model in an error that says that there is none."""
