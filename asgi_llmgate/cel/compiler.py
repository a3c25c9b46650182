"""Syntax tree to closures, once, at start-up: names are resolved here, so that nothing is left to look up per request.

Each method takes the node of the grammar's rule that bears its name.  The grammar nests nine rules around every
atom; a rule with a single child says nothing and is skipped, a chain of `||` or `&&` becomes one flat junction.  What
is wrong is found here and not at the first request: unknown variables and functions, `has()` of what is no selection,
a bad regular expression, arguments that are too few.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

import lark

from asgi_llmgate.cel import warnings
from asgi_llmgate.cel.errors import CompileError, Place, suggestion
from asgi_llmgate.cel.nodes import ABSENT, Absent, Fields, Node, Run
from asgi_llmgate.cel.runtime import closures, operators, values
from asgi_llmgate.cel.runtime.functions import FUNCTIONS, Function
from asgi_llmgate.cel.runtime.macros import MACROS
from asgi_llmgate.cel.runtime.values import FIRST_VARIABLE, TYPES
from asgi_llmgate.cel.syntax import literals
from asgi_llmgate.cel.syntax.tree import (
    Tree,
    arguments_of,
    end_place,
    place_of,
    token_at,
    token_place,
    tree_at,
    trees,
    unwrap,
)
from asgi_llmgate.cel.warnings import CompileWarning

MAX_DEPTH = 64
"""Nesting of one expression, far below the interpreter's own limit."""

_CALL = 5
"""Steps of an operator that is a function of ours; a step is about a tenth of a microsecond."""

_RESERVED = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"}
    | {"namespace", "return", "var", "void", "while", "in", "null"}
)
_RELATIONS = {
    "relation_lt": "<",
    "relation_le": "<=",
    "relation_gt": ">",
    "relation_ge": ">=",
    "relation_eq": "==",
    "relation_ne": "!=",
    "relation_in": "in",
}
_ARITHMETIC = {
    "addition_add": "+",
    "addition_sub": "-",
    "multiplication_mul": "*",
    "multiplication_div": "/",
    "multiplication_mod": "%",
}
_LITERALS: Mapping[str, Callable[[str], Any]] = {
    "INT_LIT": literals.integer,
    "UINT_LIT": literals.unsigned,
    "FLOAT_LIT": float,
    "STRING_LIT": literals.string,
    "MLSTRING_LIT": literals.string,
    "BYTES_LIT": literals.byte_string,
    "BOOL_LIT": "true".__eq__,
    "NULL_LIT": lambda text: None,
}


class Compiler:
    """Compiles one tree.  `roots` None: any variable may be named, as celpy's own API has it.

    Afterwards `references` holds the dotted names that are read, `cautions` what deserves a second look, and `width`
    the size of a frame.
    """

    def __init__(self, roots: Fields | None) -> None:
        self.roots = roots
        self.references: set[str] = set()
        self.cautions: list[CompileWarning] = []
        self.width = FIRST_VARIABLE
        self._variables: dict[str, int] = {}
        self._depth = 0

    def value(self, tree: Tree) -> Node:
        """Compile what is used as a value; what it reads is noted."""
        node = self._compile(tree)
        if node.fields is not None:
            names = ", ".join(node.fields)
            raise CompileError(f"{'.'.join(node.path)!r} is no value, name one of its fields: {names}", node.place)
        if node.path:
            self.references.add(".".join(node.path))
        return node

    def _compile(self, tree: Tree) -> Node:
        tree = unwrap(tree)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise CompileError(f"nested deeper than {MAX_DEPTH} levels", place_of(tree))
        node: Node = getattr(self, tree.data)(tree)
        self._depth -= 1
        return node

    # the rules of the grammar

    def expr(self, tree: Tree) -> Node:
        parts = tuple(self.value(child) for child in trees(tree))
        condition, then, otherwise = (part.run for part in parts)
        return _node(tree, closures.conditional(condition, then, otherwise, place_of(tree)), "?:", parts)

    def conditionalor(self, tree: Tree) -> Node:
        return self._junction(tree, "||", decisive=True)

    def conditionaland(self, tree: Tree) -> Node:
        return self._junction(tree, "&&", decisive=False)

    def _junction(self, tree: Tree, symbol: str, *, decisive: bool) -> Node:
        terms: list[Tree] = []
        chain = tree
        while chain.data == tree.data:
            *rest, last = trees(chain)
            terms.append(last)
            if not rest:
                break
            chain = rest[0]
        parts = tuple(self.value(term) for term in reversed(terms))
        return _node(tree, closures.junction([part.run for part in parts], decisive, place_of(tree)), symbol, parts)

    def relation(self, tree: Tree) -> Node:
        operation, right_tree = trees(tree)
        left, right = self.value(trees(operation)[0]), self.value(right_tree)
        symbol = _RELATIONS[operation.data]
        place = end_place(operation, symbol)
        if symbol == "in":
            if right.constant is not ABSENT:
                raise CompileError("'in' needs a list or a map on its right; for a part of a string: contains()", place)
            steps, run = _CALL, closures.call(values.contains, (left.run, right.run), place)
        elif symbol in ("==", "!="):
            if symbol == "!=":
                self.cautions.append(warnings.inequality(place))
            steps, run = _equality(left, right, place, symbol == "!=")
        else:
            steps, run = _CALL, closures.both(left.run, right.run, operators.comparison(symbol), place)
        return _node(tree, run, symbol, (left, right), steps=steps)

    def addition(self, tree: Tree) -> Node:
        operation, right_tree = trees(tree)
        left, right = self.value(trees(operation)[0]), self.value(right_tree)
        symbol = _ARITHMETIC[operation.data]
        run = closures.call(operators.arithmetic(symbol), (left.run, right.run), end_place(operation, symbol))
        return _node(tree, run, symbol, (left, right), steps=_CALL)

    multiplication = addition

    def unary(self, tree: Tree) -> Node:
        sign, operand_tree = trees(tree)
        operand, place = self.value(operand_tree), place_of(tree)
        if sign.data == "unary_neg":
            return _node(tree, closures.minus(operand.run, place), "-", (operand,))
        if caution := warnings.negation(operand.form, place):
            self.cautions.append(caution)
        return _node(tree, closures.negation(operand.run, place), "!", (operand,))

    def member_dot(self, tree: Tree) -> Node:
        if name := self._type_name(tree):
            return self._constant(tree, TYPES[name])
        operand, field = self._compile(trees(tree)[0]), token_at(tree.children[1])
        return self._select(tree, operand, str(field), token_place(field))

    def _select(self, tree: Tree, operand: Node, name: str, place: Place) -> Node:
        fields = _field(operand, name, place)
        path = (*operand.path, name) if operand.path else ()
        run = closures.select(operand.run, name, ".".join(path) or name, place)
        return _node(tree, run, "", (), path=path, fields=fields, steps=operand.steps + 1)

    def member_index(self, tree: Tree) -> Node:
        operand_tree, key_tree = trees(tree)
        operand, key = self._compile(operand_tree), self.value(key_tree)
        if isinstance(key.constant, str):
            return self._select(tree, operand, key.constant, key.place)
        if operand.fields is not None:
            raise CompileError(f"{'.'.join(operand.path)!r} has fields: name one of them", key.place)
        if operand.path:
            self.references.add(".".join(operand.path))
        return _node(tree, closures.index(operand.run, key.run, key.place), "[]", (operand, key), steps=_CALL)

    def member_dot_arg(self, tree: Tree) -> Node:
        receiver, name, *rest = tree.children
        arguments = arguments_of(rest)
        if token_at(name) in MACROS:
            return self._macro(tree, tree_at(receiver), token_at(name), arguments)
        return self._call(tree, token_at(name), [tree_at(receiver), *arguments], method=True)

    def ident_arg(self, tree: Tree) -> Node:
        name, *rest = tree.children
        arguments = arguments_of(rest)
        if token_at(name) == "has":
            return self._has(tree, arguments)
        return self._call(tree, token_at(name), arguments, method=False)

    dot_ident_arg = ident_arg

    def ident(self, tree: Tree) -> Node:
        name = str(token_at(tree.children[0]))
        if name in self._variables:
            return _node(tree, itemgetter(self._variables[name]), "")
        return self.dot_ident(tree)

    def dot_ident(self, tree: Tree) -> Node:
        token = token_at(tree.children[0])
        name, place = str(token), token_place(token)
        known = self.roots
        if known is not None and name not in known:
            if name in TYPES:
                return self._constant(tree, TYPES[name])
            raise CompileError(f"unknown variable {name!r}{suggestion(name, [*known, *self._variables])}", place)
        if name in _RESERVED:
            raise CompileError(f"{name!r} is a reserved word", place)
        if known is None and name in TYPES:
            return self._constant(tree, TYPES[name])
        fields = known[name] if known is not None else None
        return _node(tree, closures.variable(name, place), "", path=(name,), fields=fields)

    def literal(self, tree: Tree) -> Node:
        token = token_at(tree.children[0])
        try:
            return self._constant(tree, _LITERALS[token.type](token))
        except ValueError as error:
            raise CompileError(str(error), token_place(token)) from None

    def list_lit(self, tree: Tree) -> Node:
        parts = tuple(self.value(member) for member in arguments_of(tree.children))
        return _node(tree, closures.list_of([part.run for part in parts]), "[...]", parts)

    def map_lit(self, tree: Tree) -> Node:
        parts = tuple(self.value(member) for member in arguments_of(tree.children))
        for key in parts[::2]:
            if not isinstance(key.constant, str | int | Absent) or isinstance(key.constant, bool):
                raise CompileError("a key of a map is a string or a whole number", key.place)
        entries = [(key.run, value.run) for key, value in zip(parts[::2], parts[1::2], strict=True)]
        return _node(tree, closures.map_of(entries, place_of(tree)), "{...}", parts, steps=_CALL)

    def member_object(self, tree: Tree) -> Node:
        raise CompileError("protobuf messages cannot be made here", place_of(tree))

    # what the rules have in common

    def _constant(self, tree: Tree, value: Any) -> Node:
        return _node(tree, closures.constant(value), "", constant=value)

    def _type_name(self, tree: Tree) -> str:
        """`google.protobuf.Timestamp` and the like, unless a variable is called `google`."""
        names: list[str] = []
        while tree.data == "member_dot":
            names.insert(0, token_at(tree.children[1]))
            tree = unwrap(trees(tree)[0])
        if tree.data != "ident" or tree.children[0] != "google" or "google" in (self.roots or self._variables):
            return ""
        name = ".".join(["google", *names])
        return name if name in TYPES else ""

    def _has(self, tree: Tree, arguments: list[Tree]) -> Node:
        selection = unwrap(arguments[0]) if len(arguments) == 1 else None
        if selection is None or selection.data != "member_dot":
            raise CompileError("has() takes one selection, as in has(jwt.team)", place_of(tree))
        operand, field = self._compile(trees(selection)[0]), token_at(selection.children[1])
        _field(operand, field, token_place(field))
        if operand.path:
            self.references.add(".".join((*operand.path, field)))
        run = closures.has(operand.run, str(field), token_place(field))
        return _node(tree, run, "has", steps=operand.steps + 1)

    def _macro(self, tree: Tree, receiver: Tree, name: lark.Token, arguments: list[Tree]) -> Node:
        factory, arity = MACROS[name]
        place = token_place(name)
        variable = unwrap(arguments[0]) if len(arguments) in arity else None
        if variable is None or variable.data != "ident":
            raise CompileError(f"{name}() takes a variable and an expression, as in x.{name}(i, ...)", place)
        loop = token_at(variable.children[0])
        if loop in _RESERVED:
            raise CompileError(f"{str(loop)!r} is a reserved word", token_place(loop))
        over = self.value(receiver)
        outer, slot = self._variables, self.width
        self.width += 1
        self._variables = {**outer, str(loop): slot}
        bodies = [self.value(argument) for argument in arguments[1:]]
        self._variables = outer
        steps = _CALL + sum(body.steps for body in bodies)
        return _node(tree, factory(over, slot, bodies, place), name, (over,), steps=steps)

    def _call(self, tree: Tree, name: lark.Token, arguments: list[Tree], *, method: bool) -> Node:
        function, place = FUNCTIONS.get(name), token_place(name)
        if function is None:
            raise CompileError(f"unknown function {str(name)!r}{suggestion(name, [*FUNCTIONS, *MACROS, 'has'])}", place)
        if function.form == ("function" if method else "method"):
            usage = f"{name}(x)" if method else f"x.{name}(...)"
            raise CompileError(f"{str(name)!r} is called as {usage}", place)
        if len(arguments) not in function.arity:
            given = len(arguments) - method
            raise CompileError(f"{str(name)!r} does not take {given} argument{'s' if given != 1 else ''}", place)
        parts = tuple(self.value(argument) for argument in arguments)
        runs = [part.run for part in parts]
        if function.literal is not None and len(parts) > 1:
            runs[1] = self._prepared(function, name, parts[1])
        return _node(tree, closures.call(function.call, runs, place), str(name), parts, steps=function.steps)

    def _prepared(self, function: Function, name: str, argument: Node) -> Run:
        assert function.literal is not None
        if not isinstance(argument.constant, str):
            raise CompileError(f"{str(name)!r} takes a string literal here: it is prepared at start", argument.place)
        if name == "matches" and (caution := warnings.pattern(argument.constant, argument.place)):
            self.cautions.append(caution)
        try:
            return closures.constant(function.literal(argument.constant))
        except ValueError as error:
            raise CompileError(str(error), argument.place) from None


def _equality(left: Node, right: Node, place: Place, negated: bool) -> tuple[int, Run]:
    """The closure for `==` or `!=`, and its steps: a string literal on one side is the cheap case."""
    for node, other in ((left, right), (right, left)):
        if isinstance(other.constant, str):
            return 1, (closures.differs_string if negated else closures.equals_string)(node.run, other.constant)
    return _CALL, (closures.differs if negated else closures.equals)(left.run, right.run, place)


def _field(operand: Node, name: str, place: Place) -> Fields | None:
    """What may follow `operand.name`.  Raises CompileError where the operand has no such field."""
    if operand.fields is None:
        return None
    if name not in operand.fields:
        path = ".".join(operand.path)
        raise CompileError(f"{path!r} has no field {str(name)!r}{suggestion(name, operand.fields)}", place)
    found: Fields | None = operand.fields[name]
    return found


def _node(
    tree: Tree,
    run: Run,
    form: str,
    parts: tuple[Node, ...] = (),
    *,
    path: tuple[str, ...] = (),
    fields: Fields | None = None,
    constant: Any = ABSENT,
    steps: int = 1,
) -> Node:
    meta = tree.meta
    return Node(
        run,
        place_of(tree),
        (meta.start_pos, meta.end_pos),
        form,
        steps + sum(part.steps for part in parts),
        path,
        fields,
        constant,
        parts,
    )
