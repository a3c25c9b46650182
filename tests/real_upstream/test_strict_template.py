"""llama.cpp's own server with a chat template that refuses orders of roles, as those of Devstral and Llama do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.real_upstream.conftest import Gate, Server

pytestmark = pytest.mark.real_upstream

HI = {"role": "user", "content": "hi"}
READ = {"name": "Read", "description": "Read a file.", "input_schema": {"type": "object", "properties": {}}}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": ""}


def calls(*ids: str) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": each, "name": "Read", "input": {}} for each in ids],
    }


def results(*ids: str, text: str = "") -> dict[str, Any]:
    blocks = [{"type": "tool_result", "tool_use_id": each, "content": "done"} for each in ids]
    return {"role": "user", "content": [*blocks, *([{"type": "text", "text": text}] if text else [])]}


@pytest.mark.parametrize(
    "messages",
    [
        [HI, HI],
        [HI, {"role": "system", "content": "Mind the gap."}, HI],
        [HI, {"role": "assistant", "content": [THOUGHT]}, HI],
        [HI, calls("toolu_00000001"), results("toolu_00000001", text="Stop that.")],
        [HI, calls("toolu_00000001"), results("toolu_00000001", text="<system-reminder>x</system-reminder>")],
        [HI, calls("toolu_00000001", "toolu_00000002"), results("toolu_00000002", "toolu_00000001")],
    ],
    ids=["two of the user", "a late system message", "a thought alone", "after a result", "a reminder", "two calls"],
)
@pytest.mark.parametrize("dialect", ["llamacpp", "generic"])
def test_an_order_that_the_template_refuses_costs_one_request_and_no_session(
    gate: Callable[..., Gate], strict_template: Server, dialect: str, messages: Any
) -> None:
    client = gate(strict_template, dialect=dialect)
    tools = {"tools": [READ]} if "tool_use" in str(messages) else {}
    for attempts in (2, 1):
        client.ask(messages=messages, system="Be brief.", max_tokens=4, **tools)
        assert client.record["llmgate.attempts"] == attempts
