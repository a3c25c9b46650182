"""The software bill of materials, as release.yml makes it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.helpers.installation import ROOT, built_wheel, run
from tests.release.tools import release_tools

pytestmark = pytest.mark.suites


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_it_lists_each_dependency_of_each_extra_in_the_version_of_the_constraints(tmp_path: Path) -> None:
    wheel = built_wheel()
    tools = release_tools().parents[1]
    output = tmp_path / "sbom.json"
    # The script itself compares the result with the schema of CycloneDX.
    run(sys.executable, ROOT / ".ci/sbom.py", wheel, output, env={**os.environ, "SBOM_TOOLS": str(tools)})
    sbom = json.loads(output.read_text())
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    subject = sbom["metadata"]["component"]
    version = wheel.name.split("-")[1]
    assert (subject["name"], subject["version"]) == ("asgi-llmgate", version)
    assert subject["purl"] == f"pkg:pypi/asgi-llmgate@{version}"
    assert subject["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}]

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    names = {
        normal(re.match(r"[\w.-]+", each)[0]) for each in wanted if sys.version_info < (3, 14) or "zstd" not in each
    }
    listed = {normal(each["name"]): each["version"] for each in sbom["components"]}
    assert names - {"asgi-llmgate"} <= set(listed)
    assert not {"pip", "setuptools", "cyclonedx-bom", "pytest"} & set(listed)
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert listed.items() <= {normal(name): pin for name, pin in pins.items()}.items()
    assert all(each["purl"].startswith("pkg:pypi/") for each in sbom["components"])
    # Nothing of the machine that made it.
    assert not re.search(r"file:|/tmp/|/home/|\d{4}-\d\d-\d\dT", output.read_text())
