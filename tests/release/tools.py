"""The programs and scripts that check or describe a release."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from tests.helpers.distribution.project import pyproject
from tests.helpers.installation import ROOT, python_environment


def release_tools() -> Path:
    """The `python` of an environment with the group `release` of pyproject.toml."""
    group = pyproject()["dependency-groups"]["release"]
    return python_environment("release-tools", *group, constrained=True)


def script(name: str) -> ModuleType:
    """A script of .ci, as a module: a process for each of many cases would take long."""
    spec = importlib.util.spec_from_file_location(f"ci_{name}", ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
