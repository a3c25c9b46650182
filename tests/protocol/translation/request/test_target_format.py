from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Corrections, SchemaRewrite
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.protocol.translation.request.target_format import Options, TargetFormat, target_format

OPTIONS = Options()


def format_of(corrections: Corrections = NO_CORRECTIONS, *, options: Options = OPTIONS, **target: Any) -> TargetFormat:
    return target_format(Target("b", "p", "m", **target), DIALECTS["openai"], options, corrections)


def test_it_is_made_once_for_equal_targets_and_corrections() -> None:
    assert format_of(max_output_tokens=5) is format_of(Corrections(), max_output_tokens=5)


@pytest.mark.parametrize(
    "other",
    [
        {"max_output_tokens": 5},
        {"context_window": 5},
        {"options": Options()},
        {"corrections": Corrections(max_stops=1)},
    ],
    ids=str,
)
def test_it_is_another_one_where_anything_differs(other: dict[str, Any]) -> None:
    assert format_of(**other) is not format_of()


def test_the_smallest_limit_counts_and_0_is_none() -> None:
    corrections = Corrections(max_output_tokens=20, max_unstreamed_output=10, max_stops=9, context_window=4096)
    found = format_of(corrections, options=Options(max_output_tokens=30), max_output_tokens=40, context_window=9999)
    assert (found.max_output_tokens, found.max_unstreamed_output) == (20, 10)
    assert (found.max_stops, found.context_window) == (4, 4096)
    assert format_of(max_output_tokens=0).max_output_tokens is None


def test_rewrites_are_for_every_tool_or_for_one_schema() -> None:
    found = format_of(Corrections(schemas=frozenset({SchemaRewrite("", "plain"), SchemaRewrite("d", "minimal")})))
    assert found.schema_rewrites == DIALECTS["openai"].tool_schemas | {"plain"}
    assert found.rewrites_by_schema == {"d": {"minimal"}}
