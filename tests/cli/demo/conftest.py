from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from asgi_llmgate.cli import main
from asgi_llmgate.cli.demo.lab_folder import FILES
from tests.helpers.installation import ROOT

LLMGATE = Path(sys.executable).with_name("llmgate")

Demo = Callable[..., subprocess.CompletedProcess[str]]
VARIABLES = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL")


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder with the lab's files, without the keys and the ledger of who works in the clone."""
    folder = tmp_path / "lab"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes((ROOT / "examples" / "lab" / name).read_bytes())
    return folder


@pytest.fixture
def demo(tmp_path: Path, lab: Path) -> Demo:
    """`demo(*options, **environment)`: the command as a newcomer runs it, in the lab's folder or in that of `--dir`."""

    def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
        return subprocess.run(
            [LLMGATE, "demo", *_with_defaults(options, lab)],
            env=clean | {"NO_PROXY": "127.0.0.1"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
        )

    return run


@pytest.fixture
def demo_here(tmp_path: Path, lab: Path, monkeypatch: pytest.MonkeyPatch) -> Demo:
    """The same in this process, for what goes wrong in many ways: it takes a second less."""

    def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        for name in VARIABLES:
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        for name, value in {"NO_PROXY": "127.0.0.1", **environment}.items():
            monkeypatch.setenv(name, value)
        words = ["demo", *_with_defaults(options, lab)]
        result = CliRunner().invoke(main, words)
        assert isinstance(result.exception, SystemExit | None), result.exception
        return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)

    return run


def _with_defaults(options: tuple[str, ...], lab: Path) -> list[str]:
    defaults = {"--dir": str(lab), "--port": "0"}
    return [*(word for pair in defaults.items() if pair[0] not in options for word in pair), *options]
