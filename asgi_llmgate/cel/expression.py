"""`compile_rule`: one expression, checked and compiled, to be evaluated by any number of threads.

celpy's own runners are slow (0.2 ms for an ordinary rule), unbounded (11 seconds for two nested `exists` over 200
groups), unsafe across threads (CompiledRunner) and let negative rules pass on any error.  So this is a runner of our
own, with the interface of celpy's: `celpy.Environment(runner_class=Expression)` takes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import lark

from asgi_llmgate.cel.compiler import Compiler
from asgi_llmgate.cel.errors import CompileError, EvaluationError
from asgi_llmgate.cel.nodes import Fields
from asgi_llmgate.cel.runtime.values import FIRST_VARIABLE, Frame
from asgi_llmgate.cel.syntax.grammar import parse
from asgi_llmgate.cel.warnings import CompileWarning

if TYPE_CHECKING:
    import celpy

BUDGET = 20_000
"""Steps of one evaluation, roughly a millisecond or two; see `macros.py` for what is counted."""


class Expression:
    """A compiled expression.

    `references` are the dotted names that it reads (`jwt.team`, `llm.model`); a variable used whole is there by its own
    name.  `cautions` is what deserves a warning.
    """

    tree_node_class = lark.Tree  # celpy.Environment asks its runner class for it

    def __init__(
        self,
        environment: celpy.Environment | None,
        ast: lark.Tree[lark.Token],
        functions: Mapping[str, Any] | None = None,
        *,
        source: str = "",
        roots: Fields | None = None,
    ) -> None:
        if functions or (environment is not None and environment.package):
            raise TypeError("neither further functions nor a package are supported")
        self.source = source
        compiler = Compiler(roots)
        self.node = compiler.value(ast)
        self.references = frozenset(compiler.references)
        self.cautions: tuple[CompileWarning, ...] = tuple(compiler.cautions)
        self._run = self.node.run
        self._variables = [None] * (compiler.width - FIRST_VARIABLE)

    def evaluate(self, activation: Mapping[str, Any]) -> Any:
        """The value, for these variables: plain JSON values, or any Mapping (which may compute in `__getitem__`).

        Raises EvaluationError and nothing else; no message of it holds a value.
        """
        try:
            return self._run(self.frame(activation))
        except EvaluationError:
            raise
        except Exception as error:  # a lazily computed variable, a value nested too deep to compare
            raise EvaluationError("internal", f"the evaluation failed ({type(error).__name__})") from None

    def frame(self, activation: Mapping[str, Any]) -> Frame:
        """What one run of the compiled tree, or of a part of it, starts with."""
        return [activation, BUDGET, *self._variables]

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"


def compile_rule(source: str, *, roots: Fields) -> Expression:
    """Compile an expression over the variables in `roots`: name -> its fields, or None where any name may follow.

    Raises CompileError (a SettingsError) with the source line and a caret.
    """
    try:
        return Expression(None, parse(source), source=source, roots=roots)
    except CompileError as error:
        raise CompileError(error.problem, error.place, source=source) from None
