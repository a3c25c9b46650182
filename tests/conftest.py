"""What tests of every room share: a real server, and Claude Code, the real client, as the binary of its npm package.

Where Claude Code cannot be had (no npm, no registry) its tests skip and say why; with CI=true they fail.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import pytest

from asgi_llmgate.testing.serving import serving

CLAUDE_CODE = "2.1.330"
"""The version that the tests run.  CLAUDE_CODE_VERSION overrides it: a version, or `newest`."""

CACHE = Path(__file__).parents[1] / ".cache" / "claude-code"


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """`serve(app) -> base URL`: the app under a real uvicorn, on a free port, until the test ends."""
    with ExitStack() as running:

        def start(app: Any, **options: Any) -> str:
            return running.enter_context(serving(app, **{"timeout_graceful_shutdown": 1, **options}))

        yield start


@pytest.fixture(scope="session")
def claude_binary() -> Path:
    """Claude Code's binary, installed into the cache unless it is there."""
    package = _package()
    version = os.environ.get("CLAUDE_CODE_VERSION", CLAUDE_CODE)
    if version == "newest":
        version = _npm("view", package, "version").strip()
    folder = CACHE / version
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock, tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _npm("install", "--prefix", scratch, "--no-package-lock", "--no-save", f"{package}@{version}")
            Path(scratch, "node_modules").rename(folder)  # whole or not at all
    return folder / package / "claude"


def _package() -> str:
    """The npm package that is the binary for this machine."""
    system = platform.system().lower()
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    musl = "-musl" if system == "linux" and platform.libc_ver()[0] != "glibc" else ""
    return f"@anthropic-ai/claude-code-{system}-{machine}{musl}"


def _npm(*arguments: str) -> str:
    npm = shutil.which("npm") or _unavailable("npm is not installed")
    command = [npm, *arguments, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    except subprocess.CalledProcessError as error:
        _unavailable(f"npm {arguments[0]}: {error.stderr.strip()[-500:]}")
    except subprocess.TimeoutExpired as error:
        _unavailable(str(error))


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"no Claude Code: {reason}")
    pytest.skip(f"no Claude Code: {reason}")
