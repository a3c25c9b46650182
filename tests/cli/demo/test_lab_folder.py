"""The lab's folder, as people have it: none of their files is overwritten, and what cannot be used is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asgi_llmgate.cli.demo.lab_folder import FILES
from tests.cli.demo.conftest import Demo


def test_a_folder_that_is_not_there_is_created(demo_here: Demo, tmp_path: Path) -> None:
    done = demo_here("--once", "--dir", "somewhere/new")
    assert done.returncode == 0, done.stdout + done.stderr
    names = {path.name for path in (tmp_path / "somewhere/new").iterdir()} - {"__pycache__"}  # of app.py
    assert names == {*FILES, ".llmgate"}


@pytest.mark.parametrize("kept", [("app.py",), ("README.md",), ("llmgate.yaml", "README.md"), ("policy-tests.yaml",)])
def test_files_of_the_users_own_are_not_overwritten(demo_here: Demo, tmp_path: Path, kept: tuple[str, ...]) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    for name in kept:
        (folder / name).write_text("mine")
    done = demo_here("--once", "--dir", str(folder))
    assert done.returncode == 1
    assert f"{folder} has {' and '.join(sorted(kept, key=FILES.index))} but no " in done.stderr
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(kept, "mine")


def a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file"


def below_a_file(folder: Path) -> Path:
    return a_file(folder) / "lab"


def below_what_cannot_be_written(folder: Path) -> Path:
    return Path("/proc/lab")


@pytest.mark.parametrize("place", [a_file, below_a_file, below_what_cannot_be_written])
def test_a_place_where_no_folder_can_be_made(demo_here: Demo, tmp_path: Path, place: Callable[[Path], Path]) -> None:
    folder = place(tmp_path)
    done = demo_here("--once", "--dir", str(folder))
    assert done.returncode == 1
    assert f"Error: the folder {folder} cannot be used: " in done.stderr
    assert "--dir" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_for_keys_that_is_a_file(demo_here: Demo, lab: Path) -> None:
    (lab / ".llmgate").write_text("")
    done = demo_here("--once")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "Error: .llmgate cannot be used: " in done.stderr


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("import asgi_llmgate\n\napp = (\n", "line 3: SyntaxError: '(' was never closed"),
        ("\n\nimport not_there\n", "line 3: ModuleNotFoundError: No module named 'not_there'"),
        ("from asgi_llmgate import Gateway\nGateway.nothing()\n", "line 2: AttributeError: "),
        ("raise SystemExit(0)\n", "line 1: SystemExit: 0"),
        ("\x00", "line "),
        ("", "it has no `app`"),
    ],
)
def test_an_app_that_cannot_be_run(demo_here: Demo, lab: Path, content: str, why: str) -> None:
    (lab / "app.py").write_text(content)
    done = demo_here("--once")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert f"app.py in {lab} cannot be used: {why}" in done.stderr


def test_settings_with_a_mistake(demo_here: Demo, lab: Path) -> None:
    (lab / "llmgate.yaml").write_text((lab / "llmgate.yaml").read_text().replace("policy:", "polcy:"))
    done = demo_here("--once")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "did you mean policy?" in done.stderr


def test_rules_that_were_changed(demo_here: Demo, lab: Path) -> None:
    (lab / "llmgate.yaml").write_text((lab / "llmgate.yaml").read_text().replace("data-platform", "nobody"))
    done = demo_here("--once")
    assert done.returncode == 1
    assert "The response came from the gateway itself: the lab's files in this folder have been changed." in done.stderr
