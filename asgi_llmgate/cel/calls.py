"""Compiles everything that is written as a call: `has()`, macros, and functions."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import lark

from asgi_llmgate.cel.errors import CompileError, suggestion
from asgi_llmgate.cel.node_factories import CALL_STEPS, fields_of, make_node
from asgi_llmgate.cel.nodes import Closure, Node
from asgi_llmgate.cel.runtime import closures
from asgi_llmgate.cel.runtime.functions import FUNCTIONS, Function
from asgi_llmgate.cel.runtime.macros import MACROS
from asgi_llmgate.cel.syntax.tree import Tree, as_token, place_of, token_place, trees, unwrap
from asgi_llmgate.cel.warnings import CompileWarning, pattern_warning

RESERVED = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"}
    | {"namespace", "return", "var", "void", "while", "in", "null"}
)
"""Names that variables cannot have (langdef.md#syntax)."""


class ValueCompiler(Protocol):
    """What the functions of this module need of the Compiler."""

    references: set[str]
    warnings: list[CompileWarning]

    def value(self, tree: Tree) -> Node: ...

    def operand(self, tree: Tree) -> Node: ...

    def loop_variable(self, name: str) -> AbstractContextManager[int]:
        """Within the context, `name` is a variable in the frame's slot of that number."""
        ...


def compile_has(compiler: ValueCompiler, tree: Tree, arguments: list[Tree]) -> Node:
    """`has(a.b)`.  The argument is not evaluated as a value, so it must be a selection (langdef.md#field-selection)."""
    selection = unwrap(arguments[0]) if len(arguments) == 1 else None
    if selection is None or selection.data != "member_dot":
        raise CompileError("has() takes one selection, as in has(jwt.team)", place_of(tree))
    operand, field = compiler.operand(trees(selection)[0]), as_token(selection.children[1])
    fields_of(operand, field, token_place(field))
    if operand.path:
        compiler.references.add(".".join((*operand.path, field)))
    run = closures.has(operand.run, str(field), token_place(field))
    return make_node(tree, run, "has", steps=operand.steps + 1)


def compile_macro(compiler: ValueCompiler, tree: Tree, receiver: Tree, name: lark.Token, arguments: list[Tree]) -> Node:
    """`receiver.name(variable, body, ...)`, such as `jwt.groups.exists(g, g == "x")`."""
    factory, arity = MACROS[name]
    place = token_place(name)
    variable = unwrap(arguments[0]) if len(arguments) in arity else None
    if variable is None or variable.data != "ident":
        raise CompileError(f"{name}() takes a variable and an expression, as in x.{name}(i, ...)", place)
    variable_name = as_token(variable.children[0])
    if variable_name in RESERVED:
        raise CompileError(f"{str(variable_name)!r} is a reserved word", token_place(variable_name))
    # Before the variable is bound: the receiver does not see it.
    members = compiler.value(receiver)
    with compiler.loop_variable(str(variable_name)) as slot:
        bodies = [compiler.value(argument) for argument in arguments[1:]]
    steps = CALL_STEPS + sum(body.steps for body in bodies)
    return make_node(tree, factory(members, slot, bodies, place), name, (members,), steps=steps)


def compile_function(
    compiler: ValueCompiler, tree: Tree, name: lark.Token, arguments: list[Tree], *, method: bool
) -> Node:
    """`name(a, b)`, or with `method` `a.name(b)`, whose receiver is the first of the arguments."""
    function, place = FUNCTIONS.get(name), token_place(name)
    if function is None:
        raise CompileError(f"unknown function {str(name)!r}{suggestion(name, [*FUNCTIONS, *MACROS, 'has'])}", place)
    if function.call_style == ("function" if method else "method"):
        usage = f"{name}(x)" if method else f"x.{name}(...)"
        raise CompileError(f"{str(name)!r} is called as {usage}", place)
    if len(arguments) not in function.arity:
        given = len(arguments) - method
        raise CompileError(f"{str(name)!r} does not take {given} argument{'s' if given != 1 else ''}", place)
    parts = tuple(compiler.value(argument) for argument in arguments)
    runs = [part.run for part in parts]
    if function.compile_literal is not None and len(parts) > 1:
        runs[1] = _compile_literal(compiler, function, name, parts[1])
    run = closures.call_function(function.call, runs, place)
    return make_node(tree, run, str(name), parts, steps=function.steps)


def _compile_literal(compiler: ValueCompiler, function: Function, name: str, argument: Node) -> Closure:
    """The closure for an argument that must be a literal: what the function has made of it, such as a pattern."""
    assert function.compile_literal is not None
    if not isinstance(argument.constant, str):
        raise CompileError(f"{str(name)!r} needs a string literal here, which is checked at start", argument.place)
    if name == "matches" and (warning := pattern_warning(argument.constant, argument.place)):
        compiler.warnings.append(warning)
    try:
        return closures.constant(function.compile_literal(argument.constant))
    except ValueError as error:
        raise CompileError(str(error), argument.place) from None
