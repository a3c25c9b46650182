from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS
from asgi_llmgate.protocol.servers.corrections.table import find_corrections

Correct = Callable[..., Any]


@pytest.fixture(scope="session")
def correct(translate: Any) -> Correct:
    """The request as it is sent after a server has refused it: with the first correction that changes it, as
    upstream/call.py does.  Without one the request stays as it was.

    `error` is the server's message, which comes in OpenAI's envelope, or the whole body (anything but a string).
    """

    def correct(error: Any, status: int = 400, *, times: int = 1, **request: Any) -> Any:
        body = {"error": {"message": error, "type": "invalid_request_error"}} if isinstance(error, str) else error
        own, sent = NO_CORRECTIONS, translate(**request)
        for _ in range(times):
            for correction in find_corrections(status, json.dumps(body, ensure_ascii=False)):
                written = translate(more={"corrections": own.merge(correction.changes)}, **request)
                if written.chat.body != sent.chat.body:
                    own, sent = own.merge(correction.changes), written
                    break
        return sent

    return correct
