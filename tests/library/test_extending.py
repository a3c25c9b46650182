"""What users write: the examples of docs/how-to/extend.md have types, and no page imports what is internal.

tests/docs runs each example in a gateway.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asgi_llmgate import Gateway
from tests.docs.code_blocks import BLOCKS, NAMED
from tests.helpers.installation import ROOT

EXAMPLES = ("extend sink", "extend credential", "extend variable", "extend middleware")

PUBLIC = re.compile(
    r"asgi_llmgate(\.(errors|auth|policy|usage|upstream"
    r"|testing(\.(driver|grammar|idp|model_script|model_server|serving))?))?"
)
INTEGRATIONS = ("llmgate_django", "llmgate_quart", "llmgate_starlette")
"""They are in the wheel of asgi_llmgate: they share its message for what is not installed, and options."""

_IMPORT = re.compile(r"^\s*(?:from|import) (asgi_llmgate[\w.]*)", re.MULTILINE)
_PRIVATE = re.compile(r"^\s*from asgi_llmgate[\w.]* import .*\b_\w+", re.MULTILINE)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short_and_uses_public_names(name: str) -> None:
    code = [
        line for line in NAMED[name].text.splitlines() if line.strip() and not line.startswith(("#", "from", "import"))
    ]
    assert len(code) <= 15
    assert re.search(r"^from asgi_llmgate\b", NAMED[name].text, re.MULTILINE)


@pytest.mark.suites
def test_the_examples_pass_mypy_strict_outside_of_the_project(tmp_path: Path) -> None:
    files = []
    for name in EXAMPLES:
        text = NAMED[name].text
        file = text.splitlines()[0].removeprefix("# ")
        (tmp_path / file).write_text(text)
        files.append(file)
    cache = ROOT / ".cache" / "mypy-examples"
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(cache), *files]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pages_and_examples_import_public_names_only() -> None:
    texts = {f"{block.page}:{block.line}": block.text for block in BLOCKS}
    for folder in ("examples", "integrations"):
        texts |= {str(file.relative_to(ROOT)): file.read_text("utf-8") for file in (ROOT / folder).rglob("*.py")}
    found = [(place, module) for place, text in texts.items() for module in _IMPORT.findall(text)]
    assert len(found) > 30
    shared = [
        *((f"integrations/{name}/__init__.py", "asgi_llmgate.extras") for name in INTEGRATIONS),
        ("integrations/llmgate_django/management/commands/llmgate_mint.py", "asgi_llmgate.testing.minting"),
    ]
    assert sorted((place, module) for place, module in found if not PUBLIC.fullmatch(module)) == sorted(shared)
    assert [place for place, text in texts.items() if _PRIVATE.search(text)] == []


def test_from_file_names_the_options_of_from_settings() -> None:
    """So that a type checker finds a keyword that is misspelt, and a host finds `state`."""
    options = {**inspect.signature(Gateway.from_settings).parameters}
    del options["settings"], options["folder"]
    named = {**inspect.signature(Gateway.from_file).parameters}
    del named["path"]
    assert named == options
    documented = inspect.getdoc(Gateway.from_settings) or ""
    assert [name for name in options if f"`{name}`" not in documented] == []


def test_from_file_passes_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(Gateway, "from_settings", lambda settings, **options: given.update(options))
    (tmp_path / "llmgate.yaml").write_text("models: []\n")
    options = {name: object() for name in inspect.signature(Gateway.from_file).parameters if name != "path"}
    Gateway.from_file(tmp_path / "llmgate.yaml", **options)  # type: ignore[arg-type]
    assert given == {**options, "folder": tmp_path}
