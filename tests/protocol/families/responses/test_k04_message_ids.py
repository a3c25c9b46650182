"""Two responses never have one message id, whatever ids the server makes.

Ollama makes `chatcmpl-<0..998>`, others one id for all; Claude Code joins messages of one id and can lose a result.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from asgi_llmgate.protocol.translation.response.plan import ResponsePlan
from tests.protocol.responses import PLAN, Told, chunk, completion, sse, streamed, whole

SERVERS_IDS = ["chatcmpl-7", "", None, "gen-1", "msg_req_1", 7, "x" * 9999, 'id with "quotes"\n']


def two_responses(upstream_id: Any, *, stream: bool) -> list[Told]:
    plans: list[ResponsePlan] = [PLAN, replace(PLAN, message_id="msg_req_2")]
    if not stream:
        return [whole({**completion(content="Hi"), "id": upstream_id}, plan) for plan in plans]
    events = [{**chunk(content="Hi"), "id": upstream_id}, {**chunk(finish="stop"), "id": upstream_id}]
    data = sse(*events)
    pieces = [data[place : place + 1] for place in range(len(data))]
    return [streamed(pieces, plan) for plan in plans]


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("upstream_id", SERVERS_IDS)
def test_the_id_is_the_gateways_and_the_servers_is_in_the_record(upstream_id: Any, stream: bool) -> None:
    told = two_responses(upstream_id, stream=stream)
    assert [each.message["id"] for each in told] == ["msg_req_1", "msg_req_2"]
    recorded = upstream_id[:256] if isinstance(upstream_id, str) else ""
    assert {each.translator.metadata.id for each in told} == {recorded}
