"""What pyproject.toml says of the package: its extras and what they bring, its versions of Python, its wheel."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from packaging.requirements import Requirement

from asgi_llmgate._version import __version__
from tests.helpers.installation import ROOT

WHEEL = f"asgi_llmgate-{__version__}-py3-none-any.whl"
"""The name of the file."""


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def extras() -> dict[str, list[str]]:
    """The extras and their requirements as they are written."""
    found: dict[str, list[str]] = pyproject()["project"]["optional-dependencies"]
    return found


def requirements(extra: str) -> list[Requirement]:
    """The requirements of an extra, those of extras in it included."""
    return list(dict.fromkeys(_all_requirements(extra, extras())))


def _all_requirements(extra: str, written: dict[str, list[str]]) -> Iterator[Requirement]:
    for requirement in map(Requirement, written[extra]):
        if requirement.name == "asgi-llmgate":
            for inner in sorted(requirement.extras):
                yield from _all_requirements(inner, written)
        else:
            yield requirement


def python_versions() -> list[str]:
    """Such as 3.11, the oldest first."""
    classifiers = pyproject()["project"]["classifiers"]
    return [each.rpartition(" ")[2] for each in classifiers if re.search(r"Python :: 3\.\d+$", each)]
