"""The build job of release.yml: its own commands, in a clone whose commit is a version."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.utils import canonicalize_name

from asgi_llmgate import __version__
from tests.helpers.distribution.project import pyproject
from tests.helpers.distribution.wheel import lend_build_tools, outside_of_make
from tests.helpers.installation import ROOT, unavailable
from tests.release.tools import release_tools

pytestmark = pytest.mark.suites

JOB = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]["build"]


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=Tests", "-c", "user.email=tests@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def commit_a_version(folder: Path) -> None:
    """A clone of this commit, whose changelog has the version."""
    if not (ROOT / ".git").exists():
        unavailable("this is no git checkout")
    git(ROOT, "clone", "--quiet", "--no-hardlinks", "--depth=1", f"file://{ROOT}", str(folder))
    changelog = folder / "CHANGELOG.md"
    before, _, rest = changelog.read_text().partition("\n## ")
    changelog.write_text(f"{before}\n## [{__version__}] - 2026-12-01\n\n- All of it.\n\n## {rest}")
    git(folder, "commit", "--quiet", "--all", "--message", "Version")
    lend_build_tools(folder)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the job has run."""
    folder = tmp_path_factory.mktemp("release") / "clone"
    commit_a_version(folder)
    commands = [step["run"] for step in JOB["steps"] if "run" in step]
    assert len(commands) >= 4
    environment = {
        **outside_of_make(),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GITHUB_REF_NAME": f"v{__version__}",
        "GITHUB_SERVER_URL": "https://git.example.com",
        "GITHUB_REPOSITORY": "acme/gate",
        "SBOM_TOOLS": str(release_tools().parents[1]),
    }
    for command in commands:
        # As the runner calls it: https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax
        done = subprocess.run(
            ["bash", "-e", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, command + done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(clone: Path) -> Path:
    [found] = (clone / "dist").glob("*.whl")
    return found


def test_what_it_uploads_is_what_the_other_jobs_take(clone: Path, wheel: Path) -> None:
    assert sorted(path.name for path in (clone / "dist").iterdir()) == [
        wheel.name,
        f"asgi_llmgate-{__version__}.tar.gz",
    ]
    uploads = {step["id"]: step["with"]["path"] for step in JOB["steps"] if "upload-artifact" in step.get("uses", "")}
    assert uploads == {"packages": "dist/", "documents": "documents/"}
    release = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    taken = set(re.findall(r"documents/([\w.-]+\w)", release.partition("\n  attest:")[2]))
    assert {path.name for path in (clone / "documents").iterdir()} == taken
    assert (clone / "documents" / "notes.md").read_text() == "- All of it.\n"
    assert (clone / "documents" / "constraints.txt").read_bytes() == (ROOT / "constraints.txt").read_bytes()


def test_the_wheel_is_of_the_version(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        assert f'__version__ = "{__version__}"' in opened.read("asgi_llmgate/_version.py").decode()


@pytest.fixture
def sbom(clone: Path) -> Any:
    """The script itself has compared it with the schema of CycloneDX."""
    return json.loads((clone / "documents" / "asgi-llmgate.cdx.json").read_text())


def test_the_bill_of_materials_is_of_this_wheel(sbom: Any, wheel: Path) -> None:
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    subject = sbom["metadata"]["component"]
    assert (subject["name"], subject["version"]) == ("asgi-llmgate", __version__)
    assert subject["purl"] == f"pkg:pypi/asgi-llmgate@{__version__}"
    assert subject["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}]
    # Nothing of the machine and the time that made it.
    assert not re.search(r"file:|/tmp/|/home/|\d{4}-\d\d-\d\dT", json.dumps(sbom))


def test_it_lists_each_dependency_of_each_extra_in_the_version_of_the_constraints(sbom: Any) -> None:
    project = pyproject()["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    if sys.version_info >= (3, 14):
        wanted = [each for each in wanted if "python_version < '3.14'" not in each]
    names = {canonicalize_name(re.split(r"[^\w.-]", each)[0]) for each in wanted} - {"asgi-llmgate"}
    listed = {canonicalize_name(each["name"]): each["version"] for each in sbom["components"]}
    assert names - set(listed) == set()
    assert not {"pip", "setuptools", "cyclonedx-bom", "pytest"} & set(listed)
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert listed.items() - {canonicalize_name(name): pin for name, pin in pins.items()}.items() == set()
    assert all(each["purl"].startswith("pkg:pypi/") for each in sbom["components"])
