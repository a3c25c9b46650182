"""The workflows in .github: pinned, with few rights, and calling what there is."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.distribution.project import pyproject, python_versions
from tests.helpers.installation import CACHE, ROOT, locked, run
from tests.release.tools import release_tools

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ACTIONLINT = "v1.7.12"

USES = re.compile(r"^\s*(?:- )?uses: (?P<action>[^@\s]+)(?:@(?P<commit>\S+))?(?P<comment>.*)$", re.MULTILINE)


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((GITHUB / "workflows" / name).read_text())


def jobs() -> list[Any]:
    """Each job of each workflow, named WORKFLOW:JOB."""
    return [
        pytest.param(job, id=f"{path.stem}:{name}")
        for path in WORKFLOWS
        for name, job in load(path.name)["jobs"].items()
    ]


def steps(job: dict[str, Any], action: str) -> list[dict[str, Any]]:
    return [step for step in job.get("steps", ()) if step.get("uses", "").startswith(action + "@")]


def commands(job: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") for step in job.get("steps", ()))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_an_action_is_pinned_to_a_commit_and_names_its_version(path: Path) -> None:
    found = list(USES.finditer(path.read_text()))
    assert found
    for use in found:
        if use["action"].startswith("./"):
            assert (ROOT / use["action"]).exists()
            continue
        assert re.fullmatch("[0-9a-f]{40}", use["commit"] or ""), use[0]
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", use["comment"]), use[0]


def test_one_action_has_one_commit() -> None:
    found = {(use["action"], use["commit"]) for path in WORKFLOWS for use in USES.finditer(path.read_text())}
    assert len(found) == len(dict(found))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_no_rights_and_runs_alone(path: Path) -> None:
    workflow = load(path.name)
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    assert "secrets." not in path.read_text()


@pytest.mark.parametrize("job", jobs())
def test_a_job_says_its_rights_and_ends(job: dict[str, Any]) -> None:
    assert "permissions" in job
    assert "uses" in job or job["timeout-minutes"] <= 180
    for step in steps(job, "actions/checkout"):
        assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("job", jobs())
def test_a_job_that_may_write_or_sign_runs_no_code_of_the_project(job: dict[str, Any]) -> None:
    if "write" not in job["permissions"].values():
        return
    assert not steps(job, "actions/checkout")
    assert not re.search(r"make|python|pip|\.ci/", commands(job))


def test_what_is_published_is_what_the_build_has_uploaded() -> None:
    release = load("release.yml")["jobs"]
    assert release["build"]["permissions"] == {"contents": "read"}
    assert release["build"]["outputs"].keys() == {"packages", "documents"}
    for name in ("attest", "publish", "announce"):
        taken = [step["with"] for step in steps(release[name], "actions/download-artifact")]
        assert taken
        for each in taken:
            assert re.fullmatch(r"\$\{\{ needs\.build\.outputs\.(packages|documents) \}\}", each["artifact-ids"])
            assert "name" not in each
    assert {"tests", "build"} <= set(release["attest"]["needs"])
    assert "attest" in release["publish"]["needs"]


def test_publishing_needs_an_environment_and_no_password() -> None:
    publish = load("release.yml")["jobs"]["publish"]
    assert publish["environment"] == "release"
    assert publish["permissions"] == {"id-token": "write"}
    [step] = steps(publish, "pypa/gh-action-pypi-publish")
    assert step["with"] == {"attestations": True}


def test_the_tests_run_on_each_python_that_the_package_names() -> None:
    named = python_versions()
    assert load("tests.yml")["jobs"]["test"]["strategy"]["matrix"]["python"] == named
    assert pyproject()["project"]["requires-python"] == f">={named[0]}"
    other = (ROOT / ".ci/other-python").read_text()
    assert f"for version in {' '.join(reversed(named))};" in other


@pytest.mark.parametrize("job", jobs())
def test_a_command_is_there(job: dict[str, Any]) -> None:
    """Targets of make, scripts that can be executed, scripts for Python."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = commands(job)
    assert set(re.findall(r"\bmake ([a-z-]+)", said)) <= targets
    assert all(os.access(ROOT / script, os.X_OK) for script in re.findall(r"^(\.ci/\S+)", said, re.MULTILINE))
    assert all((ROOT / script).is_file() for script in re.findall(r"\bpython (\S+)", said))


def test_what_tests_install_as_root_is_installed_for_them() -> None:
    """The runner is not root: what is missing would fail the test that needs it."""
    in_the_image = {"chromium", "golang-go", "nodejs"}  # tests look for the program first
    wanted: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for call in re.findall(r"debian_packages\(([^)]*)\)", path.read_text()):
            wanted |= set(re.findall(r'"([a-z-]+)"', call))
    [line] = [line for line in commands(load("tests.yml")["jobs"]["whole"]).splitlines() if "apt-get install" in line]
    assert wanted - in_the_image == set(line.partition("--no-install-recommends ")[2].split())


def test_updates_wait_two_weeks() -> None:
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]
    assert [each["package-ecosystem"] for each in updates] == ["github-actions", "pip"]
    assert all(each["cooldown"]["default-days"] >= 14 for each in updates)


@pytest.mark.suites
def test_zizmor_finds_nothing(tmp_path: Path) -> None:
    zizmor = [release_tools().parent / "zizmor", "--offline", "--persona=pedantic", "--no-progress"]
    done = subprocess.run([*zizmor, GITHUB], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # It does look: a tag in place of the commit, and the token left in .git
    text = (GITHUB / "workflows" / "tests.yml").read_text()
    worse = re.sub(r"@[0-9a-f]{40} # (v\d+)\S+", r"@\1", text).replace("persist-credentials: false", "fetch-depth: 1")
    (tmp_path / "tests.yml").write_text(worse)
    done = subprocess.run([*zizmor, tmp_path / "tests.yml"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "unpinned-uses" in done.stdout
    assert "artipacked" in done.stdout


def actionlint() -> Path:
    """The program, compiled by Go from the version named here, whose digest Go's checksum database knows."""
    folder = CACHE / "go" / f"actionlint-{ACTIONLINT}"
    with locked(folder):
        if not (folder / "actionlint").exists():
            go = {**os.environ, "GOBIN": str(folder), "GOFLAGS": "-modcacherw"}
            run("go", "install", f"github.com/rhysd/actionlint/cmd/actionlint@{ACTIONLINT}", env=go)
    return folder / "actionlint"


@pytest.mark.suites
def test_actionlint_finds_nothing(tmp_path: Path) -> None:
    program = actionlint()
    run(program, "-no-color", *WORKFLOWS, cwd=ROOT)
    wrong = (GITHUB / "workflows" / "tests.yml").read_text().replace("matrix.python }}", "matrix.pyton }}")
    (tmp_path / "wrong.yml").write_text(wrong)
    done = subprocess.run([program, "-no-color", tmp_path / "wrong.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'property "pyton" is not defined' in done.stdout
