"""The lab's folder: its files, which are copied from the package, and the app in it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asgi_llmgate.errors import SettingsError

if TYPE_CHECKING:
    from asgi_llmgate.page import OneTimeLink

FILES = ("llmgate.yaml", "app.py", "policy-tests.yaml", "README.md")
"""What is copied into the lab's folder."""

_NEEDED = FILES[:2]

_PACKAGED = Path(__file__).parents[2] / "_lab"
_IN_A_CLONE = Path(__file__).parents[3] / "examples" / "lab"


def enter_folder(folder: Path) -> None:
    """Change to the lab's folder; it is created if it does not exist.

    No file is overwritten.  Raises ClickException: a folder that holds a part of the files, or cannot be used.
    """
    try:
        missing = [name for name in _NEEDED if not (folder / name).is_file()]
        if missing:
            _create(folder, missing)
        os.chdir(folder)
    except OSError as error:
        raise click.ClickException(
            f"the folder {folder} cannot be used: {error.strerror}. Name another one with --dir."
        ) from None


def load_app() -> tuple[Any, OneTimeLink | None]:
    """The app in app.py of this folder, and the login link of its usage page; None if the user has removed it.

    Raises ClickException for a file that cannot be run, with its line.
    """
    file = Path("app.py").absolute()
    spec = importlib.util.spec_from_file_location("llmgate_lab_app", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SettingsError:
        raise  # it names llmgate.yaml and the place
    except (Exception, SystemExit) as error:
        raise _unusable(f"line {_line(error, file)}: {type(error).__name__}: {error}") from None
    if not callable(getattr(module, "app", None)):
        raise _unusable("it has no `app`")
    return module.app, getattr(module, "usage_link", None)


def _create(folder: Path, missing: list[str]) -> None:
    present = [name for name in FILES if (folder / name).exists()]
    if present:
        raise click.ClickException(
            f"{folder} has {' and '.join(present)} but no {' and '.join(missing)}, so it is not the lab's folder, "
            "or a part of it was deleted. Nothing was changed. Name another folder with --dir; "
            "it is created with all files."
        )
    folder.mkdir(parents=True, exist_ok=True)
    source = _PACKAGED if _PACKAGED.exists() else _IN_A_CLONE
    for name in FILES:
        shutil.copyfile(source / name, folder / name)
    click.echo(f"Created the lab's files in {folder}.")


def _unusable(why: str) -> click.ClickException:
    return click.ClickException(
        f"app.py in {os.getcwd()} cannot be used: {why}. "
        "Correct it, or name another folder with --dir; it is created with all files."
    )


def _line(error: BaseException, file: Path) -> int:
    """The line of `file` where the error is."""
    if isinstance(error, SyntaxError):
        return error.lineno or 0
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 0 for frame in reversed(frames) if frame.filename == str(file)), 0)
