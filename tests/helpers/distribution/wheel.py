"""The wheel of the working tree, and environments that have it.

    wheel = built_wheel()                              # in .cache/dist
    environment = installed("django", "serve")         # in .cache/envs

As in tests/helpers/installation.py, each is made once, and what cannot be had skips the test with the reason.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.helpers.installation import (
    CACHE,
    CONSTRAINTS,
    ROOT,
    digest,
    locked,
    python_environment,
    run,
    version_of,
)

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
    with locked(CACHE / "envs" / "dist"):
        run("make", ".cache/envs/dist/.done", f"PYTHON={sys.executable}", env=outside_of_make(), cwd=ROOT)
    return CACHE / "envs" / "dist" / "bin" / "python"


def lend_build_tools(clone: Path) -> None:
    """The tools of `make dist` for a clone of the repository, so that they are installed once."""
    tools = build_python().parents[1]
    (clone / ".cache" / "envs").mkdir(parents=True)
    (clone / ".cache" / "envs" / "dist").symlink_to(tools)
    (tools / ".done").touch()


def outside_of_make() -> dict[str, str]:
    """The environment for a `make` that is not a part of the one that runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}


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
    folder = CACHE / "envs" / f"{name}-{digest((*required, CONSTRAINTS.read_text()))}"
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


def newcomer(environment: Path, home: Path) -> dict[str, str]:
    """The environment variables of somebody who has activated a virtual environment and has set nothing else."""
    return {
        **index_variables(),
        "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
        "HOME": str(home),
        "VIRTUAL_ENV": str(environment),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def index_variables() -> dict[str, str]:
    """What this machine needs to reach an index of packages."""
    kept = ("PIP_", "SSL_", "HTTP", "http", "NO_PROXY", "no_proxy", "REQUESTS_CA_BUNDLE")
    return {name: value for name, value in os.environ.items() if name.startswith(kept)}
