"""What is installed beside an integration: other frameworks, other Djangos."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.distribution.project import pyproject, requirements
from tests.helpers.installation import CACHE, CONSTRAINTS, ROOT, python_at_least, python_environment

PACKAGES = ["llmgate_django", "llmgate_quart", "llmgate_starlette"]


@pytest.mark.parametrize("package", PACKAGES)
def test_an_integration_loads_no_other_framework(package: str) -> None:
    others = {"llmgate_django": ["starlette", "quart"], "llmgate_quart": ["django", "starlette"]}
    unwanted = [*others.get(package, ["django", "quart"]), "fastapi"]
    code = f"import sys, {package}; print([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.servers
@pytest.mark.parametrize("django", ["django>=5.2,<5.3", "django>=6,<7"])
def test_this_django_passes_the_tests_of_the_integration(django: str) -> None:
    """The tests of this folder and of the mount, in an environment of its own, on the source as it is here."""
    python = python_at_least(12)
    dependencies = pyproject()["project"]["dependencies"]
    pins = "".join(line for line in CONSTRAINTS.read_text().splitlines(True) if not line.startswith("Django=="))
    constraints = CACHE / f"without-django-{hashlib.sha256(pins.encode()).hexdigest()[:10]}.txt"
    constraints.parent.mkdir(exist_ok=True)
    constraints.write_text(pins)
    name = re.sub(r"[^a-z0-9.]+", "-", django)
    of_extras = dict.fromkeys(str(each) for extra in ("serve", "page", "postgresql") for each in requirements(extra))
    needed = [*dependencies, *of_extras, "pytest", "pytest-asyncio", "hypothesis"]
    python = python_environment(name, "-c", str(constraints), *needed, django, python=python)
    tests = sorted(map(str, Path(__file__).parent.glob("test_django_*.py")))
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'integrations'}", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
