from __future__ import annotations

import pytest

from asgi_llmgate.protocol.servers.corrections.changes import Corrections
from asgi_llmgate.protocol.servers.corrections.table import find_corrections


def learn(status: int, error: str) -> list[Corrections]:
    return [correction.changes for correction in find_corrections(status, error)]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, "Unknown parameter: 'stream_options'."),
        (400, "something else"),
        (400, "reasoning_effort: Input should be 'fast'"),
        (400, "Requests that stop early are not supported at this temperature."),
        (400, ""),
        (400, "This model's maximum context length is 8 tokens and your request has 9 input tokens"),
        (400, "maximum context length is 32768 tokens. However, your messages resulted in 40000 tokens."),
        (
            422,
            '{"msg":"Field required","input":{"messages":[],"stream_options":{"include_usage":true},"x":"'
            + "y" * 99
            + ' not supported"}}',
        ),
    ],
    ids=[
        "no 400",
        "another 400",
        "efforts of another kind",
        "only words",
        "no text",
        "the prompt alone is too long",
        "so it is here",
        "a quoted request",
    ],
)
def test_other_refusals_teach_nothing(status: int, error: str) -> None:
    assert learn(status, error) == []


def test_a_refusal_of_several_things_is_read_in_its_order() -> None:
    error = (
        '{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"]},'
        '{"type":"extra_forbidden","loc":["body","parallel_tool_calls"]},'
        '{"loc":["body","max_tokens"],"msg":"Input should be less than or equal to 8192"}]}'
    )
    fields, limit = ("stream_options", "parallel_tool_calls"), Corrections(max_output_tokens=8192)
    assert learn(422, error) == [*(Corrections(refused_fields=frozenset({field})) for field in fields), limit]
