"""`compile_rule`: compiles one expression, which any number of threads may then evaluate."""
# Why not celpy's runners: they need 0.2 ms for an ordinary rule and have no limit (11 seconds for two nested `exists`
# over 200 groups), CompiledRunner is not thread-safe, and a negative rule is true after any error.  Expression has
# the interface of celpy.Runner, so celpy's extension point takes it: `celpy.Environment(runner_class=Expression)`.

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
"""Steps of one evaluation, which take one or two milliseconds; macros.py explains what is counted."""


class Expression:
    """A compiled expression.

    references  the dotted names that it reads (`jwt.team`, `llm.model`), or the name of a variable that is used whole
    warnings    what may not mean what it seems to

    The first three parameters are those of celpy.Runner; `source` is for messages, `variables` as in `compile_rule`.
    """

    tree_node_class = lark.Tree  # celpy.Environment asks its runner class for it

    def __init__(
        self,
        environment: celpy.Environment | None,
        ast: lark.Tree[lark.Token],
        functions: Mapping[str, Any] | None = None,
        *,
        source: str = "",
        variables: Fields | None = None,
    ) -> None:
        if functions or (environment is not None and environment.package):
            raise TypeError("neither further functions nor a package are supported")
        self.source = source
        compiler = Compiler(variables)
        self.node = compiler.value(ast)
        self.references = frozenset(compiler.references)
        self.warnings: tuple[CompileWarning, ...] = tuple(compiler.warnings)
        self._run = self.node.run
        self._variables = [None] * (compiler.width - FIRST_VARIABLE)

    def evaluate(self, activation: Mapping[str, Any]) -> Any:
        """The value for these variables: plain JSON values, or any Mapping, which may compute its values when asked.

        Raises EvaluationError and nothing else; its message contains no value.
        """
        try:
            return self._run(self.frame(activation))
        except EvaluationError:
            raise
        except Exception as error:  # a lazily computed variable, a value nested too deep to compare
            raise EvaluationError("internal", f"the evaluation failed ({type(error).__name__})") from None

    def frame(self, activation: Mapping[str, Any]) -> Frame:
        """A new frame, for one run of a node of this expression."""
        return [activation, BUDGET, *self._variables]

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"


def compile_rule(source: str, *, variables: Fields) -> Expression:
    """Compile an expression that may read `variables`: name -> its fields, or None when any name may follow.

    Raises CompileError (a SettingsError) with the source line and a caret.
    """
    try:
        return Expression(None, parse(source), source=source, variables=variables)
    except CompileError as error:
        raise CompileError(error.problem, error.place, source=source) from None
