from __future__ import annotations

import pytest

from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Corrections
from asgi_llmgate.protocol.servers.corrections.table import find_corrections

CREDIT = (
    "This request requires more credits, or fewer max_tokens. You requested up to {} tokens, but can only afford {}."
)
MINUTE = "Request too large for m on tokens per minute (TPM): Limit {}, Requested {}, please reduce your message size."


def learn(status: int, error: str) -> list[Corrections]:
    return [correction.changes for correction in find_corrections(status, error)]


def test_the_credit_limits_the_output_of_this_call_and_of_no_other() -> None:
    (changes,) = learn(402, CREDIT.format(32000, 27342))
    assert changes == Corrections(affordable_tokens=27342)
    assert changes.shareable() == NO_CORRECTIONS


@pytest.mark.parametrize("status", [413, 429])
def test_the_tokens_of_a_minute_limit_prompt_and_output(status: int) -> None:
    (changes,) = learn(status, MINUTE.format(30000, 45000))
    assert changes == Corrections(context_window=30000)
    assert changes.shareable() == changes


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (402, CREDIT.format(4096, 222)),
        (403, CREDIT.format(32000, 27342)),
        (429, MINUTE.format(30000, 29000)),
        (400, MINUTE.format(30000, 45000)),
        (429, "Rate limit reached on tokens per minute (TPM): Limit 6000, Used 5034, Requested 1443."),
        (402, "Insufficient credits. You can only afford 27342 tokens"),
    ],
)
def test_nothing_is_learned_where_no_smaller_request_would_pass(status: int, text: str) -> None:
    assert learn(status, text) == []
