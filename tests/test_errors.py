from __future__ import annotations

import copy

import pytest

from asgi_llmgate.errors import (
    TABLE,
    GateError,
    MaybeSent,
    MethodNotAllowed,
    RateLimited,
    ResponseTooLarge,
    ShuttingDown,
    TimedOut,
    UpstreamError,
)

MADE = {
    MethodNotAllowed: lambda: MethodNotAllowed("GET, HEAD"),
    ShuttingDown: ShuttingDown,
    RateLimited: lambda: RateLimited("over", retry_after=7.5, detail="d"),
    MaybeSent: lambda: MaybeSent("gone", detail="d", reused=True),
    ResponseTooLarge: lambda: ResponseTooLarge(7),
    TimedOut: lambda: TimedOut("late", phase="idle", detail="d"),
}


def made(kind: type[GateError]) -> GateError:
    if kind in MADE:
        return MADE[kind]()
    try:
        error = kind("ours", client_message="theirs", detail="d")
    except TypeError:
        error = kind()  # type: ignore[call-arg]
    if isinstance(error, UpstreamError):
        error.status, error.retry_after = 408, 3.0
    return error


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_an_error_is_copied_with_all_that_it_says_and_without_its_traceback(kind: type[GateError]) -> None:
    error = made(kind)
    with pytest.raises(GateError):
        raise error
    copied = copy.copy(error)
    assert type(copied) is kind
    assert (copied.args, vars(copied)) == (error.args, vars(error))
    assert (copied.__traceback__, copied.__cause__, copied.__context__) == (None, None, None)


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_an_error_tells_its_own_words_where_it_has_no_others(kind: type[GateError]) -> None:
    error = made(kind)
    assert str(error) == error.message
    assert error.client_message in ("theirs", error.message)
