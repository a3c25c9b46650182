from __future__ import annotations

import pytest

from asgi_llmgate.errors import UpstreamError
from asgi_llmgate.protocol.chat.refusals import MAX_REFUSAL, find_refusal

REFUSAL = b'{"error":{"message":"no","code":400}}'


@pytest.mark.parametrize(
    "first",
    [
        REFUSAL,
        b" \n" + REFUSAL,
        b"[" + REFUSAL + b"]",
        b"data: " + REFUSAL + b"\n\n",
        b": comment\n\ndata: " + REFUSAL + b"\n\ndata: [DONE]\n\n",
        b"event: error\ndata: " + REFUSAL + b"\n\n",
        b"data: " + REFUSAL,
        b'{"code":400,"msg":"no","success":false}',
    ],
)
def test_a_refusal_is_found(first: bytes) -> None:
    error = find_refusal(first)
    assert isinstance(error, UpstreamError)
    assert error.__traceback__ is None  # it would lead to the frames of the call, and so to the request


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b": comment\n\n",
        b"data: [DONE]\n\n",
        b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n',
        b'{"choices": [ {"message":{"content":"a"}}],"error":null}',
        b'{"id":"x","object":"chat.completion","choices":[]}',
        b"<html>",
        b'{"id":"x","object":"chat.completion","created":1,"mod',
        b"data: hello\n\n",
        b'{"error":{"message":"' + b"a" * MAX_REFUSAL + b'"}}',
    ],
)
def test_anything_else_is_not_one(first: bytes) -> None:
    assert find_refusal(first) is None
