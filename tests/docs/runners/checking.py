"""Runners for the page about `llmgate check`."""

from __future__ import annotations

import subprocess

from tests.docs.code_blocks import NAMED
from tests.docs.lab_folder import Place, Runners

RUNNERS = Runners()

ONE_BACKEND = """\
auth: {mode: "off"}
policy: {default: allow}
backends: {a: {base_url: "http://h/v1", api_key: env:KEY_OF_A}}
models: [{match: "*", use: a}]
"""


@RUNNERS.runs("check file", "check command")
def the_page_shows_what_the_command_prints(text: str, place: Place) -> None:
    (place.folder / "llmgate.yaml").write_text(NAMED["check file"].text)
    command, _, shown = NAMED["check command"].text.removeprefix("$ ").partition("\n")
    done = subprocess.run(command.split(), cwd=place.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (1, "", shown.strip())


@RUNNERS.runs("check strict")
def a_missing_secret_is_an_error_then(text: str, place: Place) -> None:
    (place.folder / "llmgate.yaml").write_text(ONE_BACKEND)
    place.sh(f"if {text.strip()}; then exit 1; fi")
    assert place.sh(text, KEY_OF_A="s3cret").startswith("llmgate.yaml: good")
