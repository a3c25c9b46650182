from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import asgi_llmgate
from tests.helpers.installation import ROOT

ALIASES = {
    "ASGIApp",
    "DIALECTS",
    "Layer",
    "Message",
    "Receive",
    "Routes",
    "ROUTES",
    "Close",
    "Condition",
    "Outcome",
    "PageAuth",
    "Wire",
    "Scope",
    "Send",
    "Session",
    "Variable",
}
"""Of types, and a mapping: these have no docstring at run time."""


@pytest.mark.parametrize("name", sorted({*asgi_llmgate.__all__, *asgi_llmgate._EXTRAS} - {"__version__"} - ALIASES))
def test_a_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(asgi_llmgate, name).__doc__


def test_the_names_are_listed() -> None:
    assert {*asgi_llmgate.__all__, *asgi_llmgate._EXTRAS} >= ALIASES
    assert set(asgi_llmgate.__all__) <= set(dir(asgi_llmgate))


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Getaway'"):
        _ = asgi_llmgate.Getaway


def test_type_checkers_and_python_import_the_same_names() -> None:
    """The imports under TYPE_CHECKING, the tables of homes, and `__all__`."""
    tree = ast.parse(Path(asgi_llmgate.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    checked = {
        each.name: str(node.module).removeprefix("asgi_llmgate").lstrip(".") for node in imports for each in node.names
    }
    subpackages = dict.fromkeys(asgi_llmgate._SUBPACKAGES, "")
    assert checked == {**asgi_llmgate._HOMES, **asgi_llmgate._EXTRAS, **subpackages}
    assert set(asgi_llmgate.__all__) == {*asgi_llmgate._HOMES, "__version__"}


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


WITHOUT_EXTRAS = (
    "import sys\n"
    "for name in ('sqlalchemy', 'jinja2', 'opentelemetry', 'prometheus_client', 'genai_prices'):\n"
    "    sys.modules[name] = None\n"
)


@pytest.mark.parametrize("module", ["asgi_llmgate", "asgi_llmgate.usage"])
def test_all_names_can_be_imported_without_an_extra(module: str) -> None:
    done = python(f"{WITHOUT_EXTRAS}from {module} import *\nimport inspect, {module}\ninspect.getmembers({module})")
    assert done.stderr == ""


@pytest.mark.parametrize("module", ["asgi_llmgate", "asgi_llmgate.usage"])
@pytest.mark.parametrize("name", ["Database", "Ledger", "LedgerState"])
def test_the_extra_of_the_ledger_is_named_where_it_is_missing(module: str, name: str) -> None:
    done = python(f"{WITHOUT_EXTRAS}from {module} import {name}")
    assert "MissingExtra: the ledger needs sqlalchemy (pip install " in done.stderr


def test_the_public_subpackages_are_attributes() -> None:
    names = asgi_llmgate._SUBPACKAGES
    assert set(names) <= set(dir(asgi_llmgate))
    done = python("import asgi_llmgate\n" + "\n".join(f"asgi_llmgate.{name}" for name in names))
    assert done.stderr == ""


MISTAKES = """
from asgi_llmgate import NoSuchThing
from asgi_llmgate.usage import NoSuchSink
from asgi_llmgate import Gateway, Ledger
import asgi_llmgate

Gateway.from_file("llmgate.yaml", sink=[])
asgi_llmgate.errors.NotFound("x")
"""


def test_a_type_checker_finds_misspelt_names(tmp_path: Path) -> None:
    (tmp_path / "mistakes.py").write_text(MISTAKES.lstrip())
    cache = ROOT / ".cache" / "mypy-examples"  # shared with test_extending.py
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(cache), "mistakes.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    lines = [line.partition(": error: ")[::2] for line in done.stdout.splitlines() if ": error: " in line]
    assert [place for place, _ in lines] == ["mistakes.py:1", "mistakes.py:2", "mistakes.py:6"], done.stdout
    assert [word in text for (_, text), word in zip(lines, ("NoSuchThing", "NoSuchSink", "sink"), strict=True)] == [
        True
    ] * 3
