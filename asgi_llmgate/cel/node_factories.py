"""Functions that make the nodes which several rules of the grammar have in common."""

from __future__ import annotations

from typing import Any

from asgi_llmgate.cel.errors import CompileError, Place, suggestion
from asgi_llmgate.cel.nodes import NOT_CONSTANT, Closure, Fields, Node
from asgi_llmgate.cel.runtime import closures
from asgi_llmgate.cel.syntax.tree import Tree, place_of

CALL_STEPS = 5
"""Steps of an operator that calls a Python function of this package; a step takes about 0.1 microseconds."""


def make_node(
    tree: Tree,
    run: Closure,
    form: str,
    parts: tuple[Node, ...] = (),
    *,
    path: tuple[str, ...] = (),
    fields: Fields | None = None,
    constant: Any = NOT_CONSTANT,
    steps: int = 1,
) -> Node:
    """The node for a tree.  `steps` are its own; those of its parts are added.  The rest is as in Node."""
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


def make_constant(tree: Tree, value: Any) -> Node:
    return make_node(tree, closures.constant(value), "", constant=value)


def make_selection(tree: Tree, operand: Node, name: str, place: Place) -> Node:
    """The node for `operand.name`.  Raises CompileError when the operand has no such field."""
    fields = fields_of(operand, name, place)
    path = (*operand.path, name) if operand.path else ()
    run = closures.select(operand.run, name, ".".join(path) or name, place)
    if path:
        run = closures.select_path(path, run)
    return make_node(tree, run, "", (), path=path, fields=fields, steps=operand.steps + 1)


def make_equality(tree: Tree, left: Node, right: Node, place: Place, *, negated: bool) -> Node:
    """The node for `==`, or with `negated` for `!=`."""
    symbol = "!=" if negated else "=="
    # Most comparisons have a string literal on one side; for these Python's own `==` is right, and cheaper.
    for node, other in ((left, right), (right, left)):
        if isinstance(other.constant, str):
            compare = closures.not_equals_string if negated else closures.equals_string
            return make_node(tree, compare(node.run, other.constant), symbol, (left, right), steps=1)
    run = (closures.not_equals if negated else closures.equals)(left.run, right.run, place)
    return make_node(tree, run, symbol, (left, right), steps=CALL_STEPS)


def fields_of(operand: Node, name: str, place: Place) -> Fields | None:
    """The fields of `operand.name`; None when any may follow.  Raises CompileError when there is no such field."""
    if operand.fields is None:
        return None
    if name not in operand.fields:
        path = ".".join(operand.path)
        raise CompileError(f"{path!r} has no field {str(name)!r}{suggestion(name, operand.fields)}", place)
    found: Fields | None = operand.fields[name]
    return found
