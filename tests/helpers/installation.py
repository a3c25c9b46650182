"""What tests need beside the Python packages of the dev environment, installed when it is first asked for.

    node_modules = npm_packages("typescript-sdk", "@anthropic-ai/sdk@0.1")     # .cache/npm/typescript-sdk
    python = python_environment("sdk-1", "anthropic==1.17")                    # .cache/envs/sdk-1
    wheel = built_wheel()                                                      # of the working tree, in .cache/dist
    environment = installed("django", "serve")                                 # of that wheel, in .cache/envs
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
import zipfile
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
    folder = CACHE / "npm" / f"{name}-{_digest(packages)}"
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
    folder = CACHE / "envs" / f"{name}-{version}-{_digest((*requirements, pins))}"
    done = folder / ".installed"
    with locked(folder):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            run(python, "-m", "venv", folder)
            pip_install(folder, *(["-c", str(CONSTRAINTS)] if constrained else []), *requirements, timeout=timeout)
            done.touch()
    return folder / "bin" / "python"


SOURCES = (
    "asgi_llmgate",
    "integrations",
    "examples/lab",
    "docs/reference/settings.md",
    "pyproject.toml",
    "hatch_build.py",
    "README.md",
    "LICENSE",
)
"""What the wheel is built from."""


def built_wheel() -> Path:
    """The wheel of the working tree, built with the tools of `make dist`; built again when a file has changed."""
    content = hashlib.sha256()
    for name in SOURCES:
        for file in sorted([ROOT / name, *(ROOT / name).rglob("*")]):
            if file.is_file() and "__pycache__" not in file.parts:
                content.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    folder = CACHE / "dist" / content.hexdigest()[:10]
    with locked(CACHE / "dist"):
        if not folder.exists():
            shutil.rmtree(CACHE / "dist", ignore_errors=True)
            folder.parent.mkdir(parents=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                run(build_python(), "-m", "build", "--no-isolation", "--wheel", "--outdir", f"{scratch}/wheel", ROOT)
                Path(scratch, "wheel").rename(folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def build_python() -> Path:
    """The `python` that `make dist` builds with."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    with locked(CACHE / "envs" / "dist"):
        run("make", ".cache/envs/dist/.done", f"PYTHON={sys.executable}", env=environment, cwd=ROOT)
    return CACHE / "envs" / "dist" / "bin" / "python"


def installed(*extras: str, python: str | Path = sys.executable) -> Path:
    """A virtual environment that has WHEEL[extras] in the versions of constraints.txt; do not write into it.

    It is kept until the requirements of the wheel change.  Until then only a new wheel is installed into it.  uv fills
    it, which takes a tenth of the time of pip; what pip does is tested with the tutorials and docs/how-to/install.md.
    """
    wheel = built_wheel()
    with zipfile.ZipFile(wheel) as opened:
        (metadata,) = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        lines = opened.read(metadata).decode().partition("\n\n")[0].splitlines()
    required = [line for line in lines if line.startswith(("Requires-Dist", "Provides-Extra"))]
    name = "-".join(["installed", *extras, version_of(python)])
    folder = CACHE / "envs" / f"{name}-{_digest((*required, CONSTRAINTS.read_text()))}"
    done = folder / ".wheel"
    with locked(CACHE / "envs" / name):
        if not done.exists():
            for old in folder.parent.glob(f"{name}-{'?' * 10}"):
                shutil.rmtree(old)
            uv("venv", "--seed", "--python", python, folder)
            wanted = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
            uv("pip", "install", "--python", folder, "-c", CONSTRAINTS, wanted)
        elif done.read_text() != str(wheel):
            uv("pip", "install", "--python", folder, "--no-deps", "--reinstall-package", "asgi-llmgate", wheel)
        done.write_text(str(wheel))
    return folder


UV_OPTIONS = {"UV_CACHE_DIR": str(CACHE / "uv"), "UV_PYTHON_DOWNLOADS": "never"}


def installers() -> Path:
    """The folder that has `uv` and `pipx`."""
    return python_environment("installers", "uv==0.13.9", "pipx==1.18.4").parent


def uv(*arguments: str | Path) -> None:
    """Run uv, which reads no variables but ours: UV_PYTHON would lead it into another environment."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
    run(installers() / "uv", *arguments, "--quiet", env=plain | UV_OPTIONS)


def pip_install(environment: Path, *arguments: str, timeout: float = 1200) -> None:
    """`pip install` in a virtual environment."""
    pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, *arguments, timeout=timeout)


def newcomer(environment: Path, home: Path) -> dict[str, str]:
    """The environment variables of somebody who has activated a virtual environment and has set nothing else.

    What this machine needs to reach an index is kept.
    """
    kept = ("PIP_", "SSL_", "HTTP", "http", "NO_PROXY", "no_proxy", "REQUESTS_CA_BUNDLE")
    return {
        **{name: value for name, value in os.environ.items() if name.startswith(kept)},
        "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
        "HOME": str(home),
        "VIRTUAL_ENV": str(environment),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


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


def _digest(words: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:10]
