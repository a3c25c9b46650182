"""What tests need beside the Python packages of the dev environment, installed when it is first asked for.

    node_modules = npm_packages("typescript-sdk", "@anthropic-ai/sdk@0.1")     # .cache/npm/typescript-sdk
    python = python_environment("sdk-1", "anthropic==1.17")                    # .cache/envs/sdk-1
    debian_packages("postgresql")                                              # root and apt-get only

Each is installed once, whole or not at all, and found again by what it holds.  What cannot be had skips the test with
the reason; with CI=true it fails.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache"
CONSTRAINTS = ROOT / "constraints.txt"


def unavailable(reason: str) -> NoReturn:
    """Skip the test; fail it where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def run(*command: str | Path, timeout: float = 600, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """The standard output of a command that installs something; where it fails, the test is skipped or fails."""
    words = [str(word) for word in command]
    if shutil.which(words[0]) is None:
        unavailable(f"{words[0]} is not installed")
    try:
        return subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            env=env,
            cwd=cwd,
        ).stdout
    except subprocess.CalledProcessError as error:
        unavailable(f"{' '.join(words[:3])}: {(error.stderr or error.stdout).strip()[-800:]}")
    except subprocess.TimeoutExpired as error:
        unavailable(str(error))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time installs into a folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def npm_packages(name: str, *packages: str) -> Path:
    """The `node_modules` that holds the packages (`name@version`).  No install script is run."""
    folder = CACHE / "npm" / f"{name}-{digest(packages)}"
    with locked(folder):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                npm("install", "--prefix", scratch, "--no-package-lock", "--no-save", *packages)
                Path(scratch, "node_modules").rename(folder)
    return folder


def npm(*arguments: str) -> str:
    return run("npm", *arguments, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")


def npm_platform() -> str:
    """What npm packages that are a binary call this machine."""
    system = platform.system().lower()
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    is_musl = system == "linux" and platform.libc_ver()[0] != "glibc"
    return f"{system}-{machine}{'-musl' if is_musl else ''}"


def python_environment(
    name: str,
    *requirements: str,
    constrained: bool = False,
    timeout: float = 1200,
    python: str | Path = sys.executable,
) -> Path:
    """The `python` of a virtual environment that holds the requirements, for what cannot live with our own.

    With `constrained`, versions are those of constraints.txt.  It is one per version of Python, by default of the one
    that runs the tests.
    """
    version = version_of(python)
    pins = CONSTRAINTS.read_text() if constrained else ""
    folder = CACHE / "envs" / f"{name}-{version}-{digest((*requirements, pins))}"
    done = folder / ".installed"
    with locked(folder):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            run(python, "-m", "venv", folder)
            pip_install(folder, *(["-c", str(CONSTRAINTS)] if constrained else []), *requirements, timeout=timeout)
            done.touch()
    return folder / "bin" / "python"


def pip_install(environment: Path, *arguments: str, timeout: float = 1200) -> None:
    """`pip install` in a virtual environment."""
    pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, *arguments, timeout=timeout)


def pinned(package: str) -> str:
    """The package with its version in constraints.txt."""
    lines = CONSTRAINTS.read_text().splitlines()
    return next(line for line in lines if line.lower().startswith(f"{package}=="))


def version_of(python: str | Path) -> str:
    """Such as 3.12."""
    return run(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()


def python_at_least(minor: int) -> Path:
    """A Python 3 that is so new: the one that runs the tests, or the newest other one there is."""
    if sys.version_info >= (3, minor):
        return Path(sys.executable)
    python = run(ROOT / ".ci" / "other-python", sys.executable).strip()
    if tuple(map(int, version_of(python).split("."))) < (3, minor):
        unavailable(f"needs Python 3.{minor} or newer")
    return Path(python)


def debian_packages(*packages: str) -> None:
    """Debian packages, installed where they are missing and we may install."""
    with locked(CACHE / "debian"):
        missing = [package for package in packages if not _is_installed(package)]
        if not missing:
            return
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            unavailable(f"needs the Debian packages {' '.join(missing)}")
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-qq", env=quiet)
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=quiet)


def _is_installed(package: str) -> bool:
    if shutil.which("dpkg-query") is None:
        return False
    found = subprocess.run(["dpkg-query", "-W", "-f=${Status}", package], capture_output=True, text=True, check=False)
    return found.stdout.endswith("install ok installed")


def digest(words: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:10]
