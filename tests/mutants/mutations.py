"""Mutants of a module: copies of its source with one small mistake each.

A mutant has a key that does not depend on line numbers, so that the same mutants are drawn after an edit elsewhere.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Mutant:
    """`before` is replaced by `after` at the offset `start` of the module's text."""

    path: str
    line: int
    function: str
    kind: str
    before: str
    after: str
    start: int
    occurrence: int

    @property
    def place(self) -> tuple[str, str, str, str, int]:
        """What identifies the mutant whatever stands above it in its file."""
        return self.path, self.function, self.before, self.after, self.occurrence

    def applied_to(self, source: str) -> str:
        assert source.startswith(self.before, self.start)
        return source[: self.start] + self.after + source[self.start + len(self.before) :]


class _Change(NamedTuple):
    kind: str
    node: ast.AST
    after: str


def mutants_of(path: str, source: str) -> list[Mutant]:
    """All mutants of a module, in the order of its text."""
    lines = [0]
    for text in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(text))
    seen: Counter[tuple[str, ...]] = Counter()
    found = []
    for function, change in sorted(_changes(ast.parse(source)), key=lambda each: _position(each[1].node)):
        before = ast.get_source_segment(source, change.node)
        assert before is not None
        line, column, *_ = _position(change.node)
        text = source[lines[line - 1] : lines[line]]
        start = lines[line - 1] + len(text.encode()[:column].decode())
        key = (function, change.kind, before, change.after)
        found.append(Mutant(path, line, function, change.kind, before, change.after, start, seen[key]))
        seen[key] += 1
    return found


def draw(mutants: Iterable[Mutant], count: int, seed: str) -> list[Mutant]:
    """`count` of them, always the same for a seed, spread over files and kinds of mutations."""
    rest = sorted(mutants, key=lambda each: hashlib.sha256(f"{seed} {each.place}".encode()).digest())
    files: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    drawn: list[Mutant] = []
    while rest and len(drawn) < count:
        best = min(rest, key=lambda each: 2 * files[each.path] + kinds[each.kind])
        rest.remove(best)
        files[best.path] += 1
        kinds[best.kind] += 1
        drawn.append(best)
    return drawn


def _position(node: ast.AST) -> tuple[int, int, int, int]:
    assert isinstance(node, ast.expr | ast.stmt)
    return node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0


def _changes(module: ast.Module) -> Iterator[tuple[str, _Change]]:
    """Only code in functions: what runs at import is mostly tables, which tests would repeat."""

    def inside(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[str, _Change]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield from inside(child, (*names, child.name))
            elif isinstance(child, Function):
                function = ".".join((*names, child.name))
                for statement in child.body:
                    for each in _walk(statement):
                        yield from ((function, change) for change in _changes_of(each))

    yield from inside(module, ())


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Without annotations, which do not run, texts that are formatted, assertions, and what is logged for debugging."""
    if isinstance(node, ast.JoinedStr | ast.Assert) or _is_debug_log(node):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child)


def _is_debug_log(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="debug"))):
            return True
    return False


def _changes_of(node: ast.AST) -> Iterator[_Change]:
    match node:
        case ast.Compare():
            for number, operator in enumerate(node.ops):
                changed = copy.deepcopy(node)
                changed.ops[number] = COMPARISONS[type(operator)]()
                yield _Change("comparison", node, _text(changed))
        case ast.BoolOp():
            changed_bool = copy.deepcopy(node)
            changed_bool.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield _Change("and/or", node, _text(changed_bool))
        case ast.If() | ast.While() | ast.IfExp():
            if not isinstance(node.test, ast.Compare):
                yield _Change("condition", node.test, f"(not ({ast.unparse(node.test)}))")
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            yield _Change("constant", node, f"{number + 1}")
        case ast.Return(value=ast.expr() as value):
            if not (isinstance(value, ast.Constant) and value.value is None):
                yield _Change("return", node, "return None")
        case ast.Expr(value=ast.Call() | ast.Await(value=ast.Call())):
            yield _Change("call", node, "pass")


def _text(node: ast.expr) -> str:
    return f"({ast.unparse(node)})"
