"""The tag of a release, and the notes that are cut out of CHANGELOG.md: the script that release.yml runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.installation import ROOT
from tests.release.tools import script

SCRIPT = script("release")

CHANGELOG = """# Changes

## [Unreleased]

### Added

- Something that is not in the release.

## [0.2.0] - 2027-03-01

Upgrade: see [the page](docs/how-to/upgrade.md#steps),
and [the standard](https://example.com/a).

### Fixed

- A fault that
  took two lines.
- Another, with code:

  ```yaml
  a: 1
  b: 2
  ```

## [0.1.0] - 2026-12-01

- The first.
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "release.py", tmp_path / ".ci")
    (tmp_path / "asgi_llmgate").mkdir()
    (tmp_path / "asgi_llmgate" / "_version.py").write_text('__version__ = "0.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path


def release(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, project / ".ci" / "release.py", *arguments]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")} | environment
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def test_a_tag_that_agrees_with_the_version_is_taken(project: Path) -> None:
    done = release(project, "check-tag", "v0.2.0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "version 0.2.0\n", "")


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ("v0.1.0", "asgi_llmgate/_version.py has the version 0.2.0: delete the tag, set the version"),
        ("v0.3.0", "asgi_llmgate/_version.py has the version 0.2.0"),
        ("0.2.0", "the tag '0.2.0' is not v and a version"),
        ("v0.2", "is not v and a version"),
        ("v0.2.0-rc.1", "is not v and a version"),
        ("v0.2.0 ", "is not v and a version"),
        ("v0.2.0\n", "is not v and a version"),
        ("v0.2.0$(id)", "is not v and a version"),
        ("main", "is not v and a version"),
        ("", "is not v and a version"),
    ],
)
def test_another_tag_makes_no_release(project: Path, tag: str, told: str) -> None:
    for command in (SCRIPT.check_tag, SCRIPT.notes):
        with pytest.raises(SCRIPT.Mistake, match=re.escape(told)):
            command(tag, project)


def test_a_mistake_ends_the_job(project: Path) -> None:
    for command in ("check-tag", "notes"):
        done = release(project, command, "v0.1.0")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("the tag is v0.1.0, but ")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ("# Changes\n\n## [Unreleased]\n\n- All of it.\n", "no heading `## [0.2.0] - YYYY-MM-DD`: rename"),
        ("## [0.2.0]\n\n- No date.\n", "no heading `## [0.2.0] - YYYY-MM-DD`"),
        ("## [0.2.01] - 2027-03-01\n\n- Another.\n", "no heading `## [0.2.0] - YYYY-MM-DD`"),
        ("## [0x2.0] - 2027-03-01\n\n- Another.\n", "no heading `## [0.2.0] - YYYY-MM-DD`"),
        ("## [0.2.0] - 2027-03-01\n\n## [0.1.0] - 2026-12-01\n\n- First.\n", "says nothing about 0.2.0"),
    ],
)
def test_a_version_without_its_changes_makes_no_release(project: Path, changes: str, told: str) -> None:
    (project / "CHANGELOG.md").write_text(changes)
    with pytest.raises(SCRIPT.Mistake, match=re.escape(told)):
        SCRIPT.check_tag("v0.2.0", project)


def test_a_version_that_is_not_there_is_told(project: Path) -> None:
    (project / "asgi_llmgate" / "_version.py").write_text("version = 2\n")
    with pytest.raises(SCRIPT.Mistake, match="has the version none"):
        SCRIPT.check_tag("v0.2.0", project)


def test_the_notes_are_the_section_of_the_version_with_whole_lines(project: Path) -> None:
    done = release(project, "notes", "v0.2.0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Upgrade: see [the page](docs/how-to/upgrade.md#steps), and [the standard](https://example.com/a).\n\n"
        "### Fixed\n\n- A fault that took two lines.\n- Another, with code:\n\n"
        "  ```yaml\n  a: 1\n  b: 2\n  ```\n"
    )


def test_links_lead_into_the_repository_at_the_tag(project: Path) -> None:
    there = {"GITHUB_SERVER_URL": "https://git.example.com", "GITHUB_REPOSITORY": "acme/gate"}
    told = release(project, "notes", "v0.2.0", **there).stdout
    assert "[the page](https://git.example.com/acme/gate/blob/v0.2.0/docs/how-to/upgrade.md#steps)" in told
    assert "[the standard](https://example.com/a)" in told


@pytest.mark.parametrize("arguments", [(), ("notes",), ("publish", "v0.2.0"), ("check-tag", "v0.2.0", "more")])
def test_other_arguments_print_how_it_is_used(project: Path, arguments: tuple[str, ...]) -> None:
    done = release(project, *arguments)
    assert done.returncode == 1
    assert "release.py check-tag v0.1.0" in done.stderr
