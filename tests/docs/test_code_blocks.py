"""Every code block of README.md, docs/ and examples/ is run, or says why it cannot be.

    <!-- test: NAME -->          the line before a block: the function in runners/ that `runs` NAME runs it
    <!-- not run: REASON -->     the line after a block

Blocks may share a name: then one runner does all of them (a tutorial is read from its first block to its last).

A block of `text` is a picture or an output and needs neither; a `{directive}` is for Sphinx, and `make docs` runs it.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from pkgutil import iter_modules

import pytest

from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import serving
from tests.docs import runners
from tests.docs.code_blocks import BLOCKS, NAMED, Block
from tests.docs.lab_folder import Place, Runner
from tests.helpers.installation import ROOT

MODULES = [importlib.import_module(f"tests.docs.runners.{found.name}") for found in iter_modules(runners.__path__)]
RUNNERS: dict[str, Runner] = {name: runner for module in MODULES for name, runner in module.RUNNERS.items()}


SETTINGS_FILES = [*(ROOT / "examples").rglob("*.yaml")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Place]:
    for name in ("app.py", "llmgate.yaml", "policy-tests.yaml"):
        shutil.copy(ROOT / "examples" / "lab" / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("DISABLE_AUTOUPDATER", "1")
    monkeypatch.setenv("IS_SANDBOX", "1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-lab")
    monkeypatch.delenv("OPENAI_MODEL", raising=False)
    with ExitStack() as stack:
        model = ModelServer(api_key="sk-lab")
        monkeypatch.setenv("OPENAI_BASE_URL", stack.enter_context(serving(model)) + "/v1")
        yield Place(tmp_path, model, MockIdP.in_folder(".llmgate"), stack, request)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_a_block_is_run_or_says_why_not(block: Block) -> None:
    assert block.language == "text" or block.language.startswith("{") or block.name in RUNNERS or block.reason


YAML = [*(block.text for block in BLOCKS if block.language == "yaml"), *(path.read_text() for path in SETTINGS_FILES)]


def test_no_word_of_a_text_is_a_comment() -> None:
    """Without quotes `ask in #deploy` is `ask in`.  Comments have a blank behind the mark."""
    lines = [line for text in YAML for line in text.splitlines()]
    assert [line for line in lines if re.search(r"\s#\w", re.sub(r"""'[^']*'|"[^"]*\"""", "", line))] == []


def test_no_runner_is_left_over() -> None:
    assert RUNNERS.keys() == NAMED.keys()


LATER = ("doctor", "entra", "ledger", "mount", "tutorial")
"""First words of names whose blocks start many servers, each for seconds: `make test-all` runs them."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.suites if name.split()[0] in LATER else ()) for name in sorted(NAMED)],
)
async def test_a_block_does_what_its_page_says(name: str, place: Place) -> None:
    outcome = RUNNERS[name](NAMED[name].text, place)
    if outcome is not None:
        await outcome
