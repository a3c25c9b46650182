"""The public API is closed: whatever a public signature mentions is public, a builtin, of the standard library, or of a
dependency that is part of the API."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import asgi_llmgate

SUBPACKAGES = ("errors", "auth", "policy", "usage", "upstream")
TESTING = ("driver", "grammar", "idp", "model_script", "model_server", "serving")
MODULES = (
    "asgi_llmgate",
    *(f"asgi_llmgate.{name}" for name in SUBPACKAGES),
    *(f"asgi_llmgate.testing.{name}" for name in TESTING),
)
DEPENDENCIES = {"httpx", "sqlalchemy", "msgspec", "joserfc", "opentelemetry", "prometheus_client"}

OWN = {
    "Exchange": {"body", "variables", "further_variables"},
    "Draining": {"call", "request", "finish", "listen"},
    "HTTPResponse": {"__init__"},
    "RuleVariables": {"__init__", "update_for", "about"},
    "Dialect": {"*"},
    "Database": {"*"},
    "Structure": {"*"},
    "RunningState": {"*"},
    "Settings": {"*"},
    "ModelTable": {"conditional"},
    "Sealer": {"bound_to"},
    "TranslationApp": {"safeguards"},
}
"""Members that are the gateway's own, for which the documentation says nothing; `*`: made and read by it alone."""


def names_of(module: str) -> list[str]:
    """Names that need an extra are public, and not in `__all__`."""
    found = importlib.import_module(module)
    return [name for name in (*found.__all__, *getattr(found, "_EXTRAS", ())) if name != "__version__"]


PUBLIC = [(module, name) for module in MODULES for name in names_of(module)]


def public_objects() -> dict[int, str]:
    return {id(getattr(importlib.import_module(module), name)): name for module, name in PUBLIC}


def members_of(found: Any) -> Iterator[tuple[str, Any]]:
    """A function; or a class, for the annotations of its attributes, and its public methods."""
    if isinstance(found, types.FunctionType):
        yield "", found
    if not inspect.isclass(found):
        return
    yield "attributes", found
    for name, member in vars(found).items():
        if isinstance(member, classmethod | staticmethod):
            member = member.__func__
        if isinstance(member, property):
            member = member.fget
        if isinstance(member, types.FunctionType) and (not name.startswith("_") or name in ("__init__", "__call__")):
            yield name, member


def hints_of(member: Any) -> dict[str, Any]:
    """Annotations as objects; what a module imports for type checkers alone is imported for this."""
    module = sys.modules[member.__module__]
    known = {**vars(typing), **vars(module)}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            exec(compile(ast.Module(node.body, []), module.__name__, "exec"), known)
    return typing.get_type_hints(member, globalns=known, localns=known)


def parts_of(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in typing.get_args(annotation):
        for each in part if isinstance(part, list | tuple) else [part]:
            yield from parts_of(each)


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=lambda each: each.removeprefix("asgi_llmgate."))
def test_whatever_a_signature_mentions_is_public(module: str, name: str) -> None:
    public = public_objects()
    found = getattr(importlib.import_module(module), name)
    own = OWN.get(name, set())
    hidden = []
    for member, function in members_of(found):
        if member in own or "*" in own:
            continue
        for argument, annotation in hints_of(function).items():
            if member == "attributes" and (argument.startswith("_") or argument in own):
                continue
            if member == "__init__" and argument in own:
                continue  # of a dataclass
            for part in parts_of(annotation):
                if inspect.isclass(part) and id(part) not in public and not is_foreign(part):
                    hidden.append(f"{name}.{member}({argument}): {part.__module__}.{part.__qualname__}")
    assert hidden == []


def is_foreign(found: type) -> bool:
    """A builtin, of the standard library, or of a named dependency."""
    package = found.__module__.partition(".")[0]
    return package in sys.stdlib_module_names or package in DEPENDENCIES


def aliases_of(member: Any) -> Iterator[str]:
    """Names in its annotations, as they are written, that a module of the package assigns: aliases of types."""
    module = sys.modules[member.__module__]
    for annotation in inspect.get_annotations(member).values():
        for node in ast.walk(ast.parse(str(annotation), mode="eval")):
            if isinstance(node, ast.Name) and node.id in assigned_names(module.__name__):
                yield node.id


@functools.cache
def assigned_names(module: str) -> frozenset[str]:
    """What a module assigns, and what it imports of the package that is assigned there."""
    names = set()
    for node in ast.walk(ast.parse(inspect.getsource(sys.modules[module]))):
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name) and node.col_offset == 0}
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("asgi_llmgate"):
            home = importlib.import_module(str(node.module))
            for each in node.names:
                found = getattr(home, each.name, None)
                if (not inspect.isclass(found) and not callable(found)) or typing.get_origin(found) is not None:
                    names.add(each.name)
    return frozenset(names)


WRITTEN_OUT = {
    *("Action", "Engine", "Method", "Mode", "OwnTransport", "Semconv", "Style"),  # literal texts
    *("Content", "Headers", "Json", "RawHeaders", "Value", "_Amount"),  # of builtins: bytes, pairs, mappings, numbers
    "Host",  # a type variable
}
"""Aliases of what a caller writes without a name for it."""


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=lambda each: each.removeprefix("asgi_llmgate."))
def test_an_alias_in_a_signature_is_public(module: str, name: str) -> None:
    found = getattr(importlib.import_module(module), name)
    own = OWN.get(name, set())
    public = {name for _, name in PUBLIC}
    hidden = {
        f"{name}.{member}: {alias}"
        for member, function in members_of(found)
        if member not in own and "*" not in own and is_ours(function)
        for alias in aliases_of(function)
        if alias not in public | WRITTEN_OUT
    }
    assert hidden == set()


def is_ours(member: Any) -> bool:
    return str(getattr(member, "__module__", "")).startswith("asgi_llmgate")


def test_the_check_finds_what_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    without = [each for each in PUBLIC if each[1] != "Secret"]
    monkeypatch.setattr(sys.modules[__name__], "PUBLIC", without)
    with pytest.raises(AssertionError, match=r"asgi_llmgate\.secret_values\.Secret"):
        test_whatever_a_signature_mentions_is_public("asgi_llmgate", "CallableSource")


@pytest.mark.parametrize("module", MODULES)
def test_each_public_name_is_sorted_and_there(module: str) -> None:
    names = importlib.import_module(module).__all__
    assert len(set(names)) == len(names)
    assert all(hasattr(importlib.import_module(module), name) for name in names)


def test_what_is_public_is_said_once() -> None:
    assert asgi_llmgate.__doc__ is not None
    assert all(f"`{name}`" in asgi_llmgate.__doc__ for name in (*SUBPACKAGES, "testing"))
