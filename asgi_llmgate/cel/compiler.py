"""Compiles a syntax tree to closures, once, at start.

Names are resolved here, so an evaluation looks nothing up.  Everything that can be found without values is an error
here and not at the first request: unknown variables and functions, a `has()` without a selection, a bad regular
expression, the wrong number of arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter

from asgi_llmgate.cel.calls import RESERVED, compile_function, compile_has, compile_macro
from asgi_llmgate.cel.errors import CompileError, suggestion
from asgi_llmgate.cel.node_factories import CALL_STEPS, make_constant, make_equality, make_node, make_selection
from asgi_llmgate.cel.nodes import NOT_CONSTANT, Fields, Node, NotConstant
from asgi_llmgate.cel.runtime import closures, operators, values
from asgi_llmgate.cel.runtime.macros import MACROS
from asgi_llmgate.cel.runtime.values import FIRST_VARIABLE, TYPES
from asgi_llmgate.cel.syntax.literals import DECODERS
from asgi_llmgate.cel.syntax.tree import (
    Tree,
    arguments_of,
    as_token,
    as_tree,
    operator_place,
    place_of,
    token_place,
    trees,
    unwrap,
)
from asgi_llmgate.cel.warnings import CompileWarning, inequality_warning, negation_warning

MAX_DEPTH = 64
"""Levels of nesting of one expression.  This is far below the depth at which Python's own recursion limit is hit."""

# Rule of the grammar -> operator.
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


class Compiler:
    """Compiles one tree.

    `variables` are the names that an expression may read, with their fields; None: any name, as in celpy's own API.

    Afterwards `references` contains the dotted names that are read, `warnings` what may not mean what it seems to, and
    `width` is the length of a frame.
    """

    # Each method below has the name of the grammar rule whose trees it compiles; `operand` calls them by that name.

    def __init__(self, variables: Fields | None) -> None:
        self.variables = variables
        self.references: set[str] = set()
        self.warnings: list[CompileWarning] = []
        self.width = FIRST_VARIABLE
        self._loop_variables: dict[str, int] = {}
        self._depth = 0

    def value(self, tree: Tree) -> Node:
        """Compile an expression whose value is used, and note what it reads."""
        node = self.operand(tree)
        if node.fields is not None:
            names = ", ".join(node.fields)
            raise CompileError(f"{'.'.join(node.path)!r} is not a value; name one of its fields: {names}", node.place)
        if node.path:
            self.references.add(".".join(node.path))
        return node

    def operand(self, tree: Tree) -> Node:
        """Compile an expression of which perhaps only a field is used."""
        # The grammar nests nine rules around every atom.  A rule with a single child means nothing and is skipped.
        tree = unwrap(tree)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise CompileError(f"nested deeper than {MAX_DEPTH} levels", place_of(tree))
        node: Node = getattr(self, tree.data)(tree)
        self._depth -= 1
        return node

    @contextmanager
    def loop_variable(self, name: str) -> Iterator[int]:
        """Within the context, `name` is a variable in the frame's slot of that number."""
        outer, slot = self._loop_variables, self.width
        self.width += 1
        self._loop_variables = {**outer, name: slot}
        yield slot
        self._loop_variables = outer

    def expr(self, tree: Tree) -> Node:
        parts = tuple(self.value(child) for child in trees(tree))
        condition, then, otherwise = (part.run for part in parts)
        return make_node(tree, closures.conditional(condition, then, otherwise, place_of(tree)), "?:", parts)

    def conditionalor(self, tree: Tree) -> Node:
        return self._logical_chain(tree, "||", decisive=True)

    def conditionaland(self, tree: Tree) -> Node:
        return self._logical_chain(tree, "&&", decisive=False)

    def _logical_chain(self, tree: Tree, symbol: str, *, decisive: bool) -> Node:
        # The grammar nests `a || b || c` to the left.  One flat node is cheaper, and does not count as depth.
        terms: list[Tree] = []
        chain = tree
        while chain.data == tree.data:
            *rest, last = trees(chain)
            terms.append(last)
            if not rest:
                break
            chain = rest[0]
        parts = tuple(self.value(term) for term in reversed(terms))
        run = closures.logical_chain([part.run for part in parts], decisive, place_of(tree))
        return make_node(tree, run, symbol, parts)

    def relation(self, tree: Tree) -> Node:
        operation, right_tree = trees(tree)
        left, right = self.value(trees(operation)[0]), self.value(right_tree)
        symbol = _RELATIONS[operation.data]
        place = operator_place(operation, symbol)
        if symbol in ("==", "!="):
            if symbol == "!=":
                self.warnings.append(inequality_warning(place))
            return make_equality(tree, left, right, place, negated=symbol == "!=")
        if symbol == "in":
            if right.constant is not NOT_CONSTANT:
                raise CompileError(
                    "'in' needs a list or a map on its right; contains() finds a part of a string", place
                )
            run = closures.call_function(values.contains, (left.run, right.run), place)
        else:
            run = closures.binary(left.run, right.run, operators.comparison(symbol), place)
        return make_node(tree, run, symbol, (left, right), steps=CALL_STEPS)

    def addition(self, tree: Tree) -> Node:
        operation, right_tree = trees(tree)
        left, right = self.value(trees(operation)[0]), self.value(right_tree)
        symbol = _ARITHMETIC[operation.data]
        place = operator_place(operation, symbol)
        run = closures.call_function(operators.arithmetic(symbol), (left.run, right.run), place)
        return make_node(tree, run, symbol, (left, right), steps=CALL_STEPS)

    multiplication = addition

    def unary(self, tree: Tree) -> Node:
        sign, operand_tree = trees(tree)
        operand, place = self.value(operand_tree), place_of(tree)
        if sign.data == "unary_neg":
            return make_node(tree, closures.unary_minus(operand.run, place), "-", (operand,))
        if warning := negation_warning(operand.form, place):
            self.warnings.append(warning)
        return make_node(tree, closures.logical_not(operand.run, place), "!", (operand,))

    def member_dot(self, tree: Tree) -> Node:
        if name := self._type_name(tree):
            return make_constant(tree, TYPES[name])
        operand, field = self.operand(trees(tree)[0]), as_token(tree.children[1])
        return make_selection(tree, operand, str(field), token_place(field))

    def member_index(self, tree: Tree) -> Node:
        operand_tree, key_tree = trees(tree)
        operand, key = self.operand(operand_tree), self.value(key_tree)
        if isinstance(key.constant, str):  # a["b"] is a.b
            return make_selection(tree, operand, key.constant, key.place)
        if operand.fields is not None:
            raise CompileError(f"{'.'.join(operand.path)!r} has fields; name one of them as a string", key.place)
        if operand.path:
            self.references.add(".".join(operand.path))
        return make_node(tree, closures.index(operand.run, key.run, key.place), "[]", (operand, key), steps=CALL_STEPS)

    def member_dot_arg(self, tree: Tree) -> Node:
        receiver, name, *rest = tree.children
        arguments = arguments_of(rest)
        if as_token(name) in MACROS:
            return compile_macro(self, tree, as_tree(receiver), as_token(name), arguments)
        return compile_function(self, tree, as_token(name), [as_tree(receiver), *arguments], method=True)

    def ident_arg(self, tree: Tree) -> Node:
        name, *rest = tree.children
        arguments = arguments_of(rest)
        if as_token(name) == "has":
            return compile_has(self, tree, arguments)
        return compile_function(self, tree, as_token(name), arguments, method=False)

    dot_ident_arg = ident_arg

    def ident(self, tree: Tree) -> Node:
        name = str(as_token(tree.children[0]))
        if name in self._loop_variables:
            return make_node(tree, itemgetter(self._loop_variables[name]), "")
        return self.dot_ident(tree)

    def dot_ident(self, tree: Tree) -> Node:
        token = as_token(tree.children[0])
        name, place = str(token), token_place(token)
        known = self.variables
        # With declared variables they come first, so that one may be called `type` or `list`.
        if known is not None and name not in known:
            if name in TYPES:
                return make_constant(tree, TYPES[name])
            raise CompileError(f"unknown variable {name!r}{suggestion(name, [*known, *self._loop_variables])}", place)
        if name in RESERVED:
            raise CompileError(f"{name!r} is a reserved word", place)
        if known is None and name in TYPES:
            return make_constant(tree, TYPES[name])
        fields = known[name] if known is not None else None
        return make_node(tree, closures.variable(name, place), "", path=(name,), fields=fields)

    def literal(self, tree: Tree) -> Node:
        token = as_token(tree.children[0])
        try:
            return make_constant(tree, DECODERS[token.type](token))
        except ValueError as error:
            raise CompileError(str(error), token_place(token)) from None

    def list_lit(self, tree: Tree) -> Node:
        parts = tuple(self.value(member) for member in arguments_of(tree.children))
        return make_node(tree, closures.list_literal([part.run for part in parts]), "[...]", parts)

    def map_lit(self, tree: Tree) -> Node:
        parts = tuple(self.value(member) for member in arguments_of(tree.children))
        for key in parts[::2]:
            if not isinstance(key.constant, str | int | NotConstant) or isinstance(key.constant, bool):
                raise CompileError("a key of a map must be a string or a whole number", key.place)
        entries = [(key.run, value.run) for key, value in zip(parts[::2], parts[1::2], strict=True)]
        return make_node(tree, closures.map_literal(entries, place_of(tree)), "{...}", parts, steps=CALL_STEPS)

    def member_object(self, tree: Tree) -> Node:
        raise CompileError("protobuf messages are not supported", place_of(tree))

    def _type_name(self, tree: Tree) -> str:
        """The type that the tree names, such as `google.protobuf.Timestamp`; "" when it is a selection."""
        names: list[str] = []
        while tree.data == "member_dot":
            names.insert(0, as_token(tree.children[1]))
            tree = unwrap(trees(tree)[0])
        if tree.data != "ident" or tree.children[0] != "google" or "google" in (self.variables or self._loop_variables):
            return ""
        name = ".".join(["google", *names])
        return name if name in TYPES else ""
