"""Evaluating one expression over open variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from asgi_llmgate.cel import Expression, compile_rule

OPEN = {"jwt": None, "x": None, "y": None, "request": {"path": None, "headers": None}, "llm": {"model": None}}

Evaluate = Callable[..., Any]


@pytest.fixture
def rule() -> Callable[[str], Expression]:
    """`rule(source)`: compiled over the variables jwt, x and y (open), request and llm (with known fields)."""
    return lambda source: compile_rule(source, variables=OPEN)


@pytest.fixture
def evaluate(rule: Callable[[str], Expression]) -> Evaluate:
    """`evaluate(source, jwt=..., x=...)`: the value."""

    def run(source: str, **variables: Any) -> Any:
        activation: Mapping[str, Any] = variables
        return rule(source).evaluate(activation)

    return run
