"""What a user's own transport may raise; failures that real servers make are in tests/net/test_transport.py."""

from __future__ import annotations

import httpx
import pytest

from asgi_llmgate.errors import GateError, MaybeSent, TimedOut, Unreachable
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.net.over_httpx.errors import error_before_response, error_in_response


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (httpx.ConnectError("x"), Unreachable),
        (httpx.ConnectTimeout("x"), TimedOut),
        (httpx.PoolTimeout("x"), TimedOut),
        (httpx.ReadTimeout("x"), TimedOut),
        (httpx.ReadError("x"), MaybeSent),
        (httpx.WriteError("x"), MaybeSent),
        (httpx.RemoteProtocolError("x"), MaybeSent),
        (httpx.ProxyError("x"), Unreachable),
        (ConnectionResetError("x"), MaybeSent),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
async def test_what_a_users_own_transport_raises_is_understood(raised: Exception, expected: type[GateError]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise raised

    with pytest.raises(expected) as failure:
        await HTTPClient(transport=httpx.MockTransport(handler)).fetch("http://model.test/")
    assert type(failure.value) is expected


def test_messages_name_no_host() -> None:
    error = httpx.ConnectError("Cannot connect to host gpu-7.corp.internal:8000")
    for failure in (error_before_response(error), error_in_response(error)):
        assert "corp.internal" not in failure.message
