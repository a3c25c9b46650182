"""`engine: celpy`: celpy's InterpretedRunner behind the interface of `Expression`, to compare with or to fall back on.

The checks at start are the same as for `Expression`.  celpy evaluates differently: it is two hundred times slower and
has no budget, cannot compare an int with a double, takes a string for a list of its characters, and finds that
`true == 1` is true, and `!has(x.y.z)` when `y` is missing.  `tests/cel/test_reference.py` has the list.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from asgi_llmgate.cel.errors import EvaluationError
from asgi_llmgate.cel.expression import compile_rule
from asgi_llmgate.cel.nodes import Fields
from asgi_llmgate.cel.runtime.times import format_timestamp
from asgi_llmgate.cel.runtime.values import Timestamp
from asgi_llmgate.cel.syntax.grammar import parse

if TYPE_CHECKING:
    import celpy


class ReferenceExpression:
    """Like Expression, but evaluated by celpy.  Raises CompileError."""

    def __init__(self, source: str, *, variables: Fields) -> None:
        # celpy is imported where it is used: it and what it needs are 80 modules, for an engine that few settings name.
        import celpy

        checked = compile_rule(source, variables=variables)
        self.source = source
        self.references = checked.references
        self.warnings = checked.warnings
        _install_filter()
        self._runner = celpy.InterpretedRunner(_environment(), parse(source))

    def evaluate(self, activation: Mapping[str, Any]) -> Any:
        """The value, a plain bool.  Raises EvaluationError, also for a value that is not a bool."""
        from celpy import celtypes

        try:
            with _unlogged():
                value = self._runner.evaluate(self._context(activation))
        except EvaluationError:
            raise
        except Exception as error:  # celpy's messages hold the whole activation
            raise EvaluationError("internal", f"the evaluation failed ({type(error).__name__})") from None
        if isinstance(value, celtypes.BoolType):
            return bool(value)
        raise EvaluationError("type", "the result is not a bool")

    def _context(self, activation: Mapping[str, Any]) -> dict[str, Any]:
        """The variables that the expression reads, as celpy types."""
        # Only these, because converting is not cheap.
        from celpy import celtypes

        context: dict[str, Any] = {}
        for reference in sorted(self.references):
            name, *names = reference.split(".", 2)
            if not names:
                context[name] = _convert(activation[name])
                continue
            fields = context.setdefault(name, celtypes.MapType())
            if names[0] in activation[name]:
                fields[celtypes.StringType(names[0])] = _convert(activation[name][names[0]])
        return context


def _convert(value: Any) -> Any:
    from celpy import celtypes
    from celpy.adapter import json_to_cel

    if isinstance(value, Mapping):
        return celtypes.MapType({celtypes.StringType(key): _convert(member) for key, member in value.items()})
    if isinstance(value, Timestamp):
        return celtypes.TimestampType(format_timestamp(value))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return celtypes.ListType([_convert(member) for member in value])
    return json_to_cel(value)


def _environment() -> celpy.Environment:
    """All that a runner reads of an Environment."""
    # A real one would lower the recursion limit of the process, and shape the parser that the host's own use of celpy
    # may need in another shape.
    import celpy

    return cast(celpy.Environment, SimpleNamespace(package=None, annotations=dict(celpy.googleapis)))


_LOGGERS = ("celpy.Evaluator", "celpy.NameContainer", "celpy.celpy.evaluation", "celpy.celpy.celtypes")

_evaluating = threading.local()


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep celpy from logging in this thread: its records contain operands and whole activations, which are claims."""
    _evaluating.here = True
    try:
        yield
    finally:
        _evaluating.here = False


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not getattr(_evaluating, "here", False)


def _install_filter() -> None:
    # The one change to loggers of the process, made only where `engine: celpy` asks for it.  What the host evaluates
    # with celpy is logged as before.
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_not_ours)  # adds a filter once
