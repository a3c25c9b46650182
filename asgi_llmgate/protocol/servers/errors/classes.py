"""Which class of `errors` an upstream error is: the status, the text and the codes together decide.

Only the server's own words count, which stand at the beginning (`quotations.own_words`): behind them servers quote the
request, and a request may contain any text.
"""

from __future__ import annotations

from typing import NamedTuple

from asgi_llmgate.errors import NOT_SOON, Failed, QuotaExhausted, RequestRejected, Throttled, UpstreamError
from asgi_llmgate.protocol.servers.errors.codes import STATUS_ERRORS, status_of
from asgi_llmgate.protocol.servers.errors.quotations import own_words
from asgi_llmgate.protocol.servers.errors.report_fields import ErrorReport
from asgi_llmgate.protocol.servers.wordings.billing import (
    DAILY_QUOTA_ID,
    EXHAUSTED,
    LONG_LIMIT,
    MINUTE_QUOTA,
    SOFT_QUOTA,
)
from asgi_llmgate.protocol.servers.wordings.generation import FAILED_GENERATION
from asgi_llmgate.protocol.servers.wordings.statuses import ERROR_RULES, TEXT_STATUSES

FAILED_GENERATION_MESSAGE = "the model wrote a tool call, or a response, that its server could not read; try again"

_GENERATION_STATUSES = frozenset({400, 422, 500})


class Verdict(NamedTuple):
    """The class, and the gateway's own text where it is not the one of the class."""

    kind: type[UpstreamError]
    message: str = ""


def classify(status: int, report: ErrorReport, wait: float | None) -> Verdict:
    """`wait` is the seconds to wait that the body states."""
    text = f"{own_words(report.text)} {report.codes}".lower()
    if status in _GENERATION_STATUSES and FAILED_GENERATION.search(text):
        return Verdict(Failed, FAILED_GENERATION_MESSAGE)
    if EXHAUSTED.search(text):
        return Verdict(QuotaExhausted)
    if SOFT_QUOTA.search(text):
        return Verdict(Throttled if wait is not None or MINUTE_QUOTA.search(text) else QuotaExhausted)
    for rule in ERROR_RULES:
        if status in rule.statuses and rule.pattern.search(text):
            return Verdict(rule.error, rule.message)
    return Verdict(STATUS_ERRORS.get(status) or (RequestRejected if status < 500 else Failed))


def find_status(report: ErrorReport) -> int:
    """The status of an error that comes inside a 200: from its codes, else from its words, else 500."""
    if status := report.status or status_of(report.codes):
        return status
    text = own_words(report.text).lower()
    return next((status for pattern, status in TEXT_STATUSES if pattern.search(text)), 500)


def longer_wait(report: ErrorReport, wait: float | None) -> float | None:
    """The seconds to wait at a limit: not soon at one of a day or a week, where none is stated.

    A client that gets no time would try ten times in vain.
    """
    if DAILY_QUOTA_ID.search(report.codes):
        return max(wait or 0.0, NOT_SOON)
    if wait is None and LONG_LIMIT.search(f"{report.text} {report.codes}".lower()):
        return NOT_SOON
    return wait
