"""Files that `llmgate init` writes; it replaces none without `--force`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import click

from asgi_llmgate.cli.mint import open_idp

KEYS = ".llmgate"
"""Folder of the mock identity provider's key."""


def template(name: str) -> str:
    """The text of a file in the folder `templates`."""
    return (files(__package__) / "templates" / name).read_text("utf-8")


def write(folder: Path, wanted: Mapping[str, str], *, force: bool) -> list[str]:
    """Write the files that are not there yet; their names.

    A file that has the wanted text already is left as it is.  With `force`, files with another text are replaced.
    Raises ClickException where one is there without `force`, before anything is written, and where a file cannot be
    written.
    """
    try:
        missing = {name: text for name, text in wanted.items() if _text_of(folder / name) != text}
        taken = [name for name in missing if os.path.lexists(folder / name)]
        if taken and not force:
            raise click.ClickException(
                f"{' and '.join(taken)} {'exist' if len(taken) > 1 else 'exists'} already in {folder}, with other "
                "content. Nothing was written. --force replaces it; to start anew, use an empty folder."
            )
        for name, text in missing.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from None
    return list(missing)


def ignore_keys(folder: Path) -> bool:
    """Add the folder of the keys to .gitignore; whether it was missing there."""
    line = f"{KEYS}/"
    try:
        text = _text_of(folder / ".gitignore") or ""
        if {line, KEYS, f"/{line}", f"/{KEYS}"} & {each.strip() for each in text.splitlines()}:
            return False
        with (folder / ".gitignore").open("a", encoding="utf-8") as file:
            file.write(("\n" if text and not text.endswith("\n") else "") + f"{line}\n")
    except OSError as error:
        raise _unwritable(folder, error) from None
    return True


def make_key(folder: Path) -> bool:
    """Make the mock identity provider's key, so that a server can start before the first token; whether it is new."""
    new = not (folder / KEYS).exists()
    open_idp(str(folder / KEYS))
    return new


def schema() -> str:
    """The JSON schema of the settings, as `llmgate schema` prints it."""
    from asgi_llmgate.config.json_schema import json_schema

    return json.dumps(json_schema(), indent=2) + "\n"


def _text_of(file: Path) -> str | None:
    """None where there is no such file."""
    try:
        return file.read_text("utf-8", errors="replace")
    except (FileNotFoundError, IsADirectoryError):
        return None


def _unwritable(folder: Path, error: OSError) -> click.ClickException:
    return click.ClickException(f"cannot write in {folder}: {error.strerror}. Run the command in a folder of your own.")
