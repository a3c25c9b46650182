"""Runners for the page of the command: completion in each shell, asked as the shell itself asks at a press of Tab."""

from __future__ import annotations

import shutil

from tests.docs.lab_folder import Place, Runners
from tests.helpers.installation import unavailable

RUNNERS = Runners()

BASH = """
COMP_WORDS=(llmgate usage report --format c)
COMP_CWORD=4
$(complete -p llmgate | sed 's/.*-F \\([^ ]*\\) .*/\\1/') llmgate
echo "${COMPREPLY[@]}"
"""

ZSH = """
compadd() { print -r -- ${(P)${@[-1]}} }
words=(llmgate usage report --format c)
CURRENT=5
_llmgate_completion
"""
"""The completion system runs only at a prompt, so its `compadd` is replaced by one that prints what it is given."""


def require_shell(name: str) -> None:
    if shutil.which(name) is None:
        unavailable(f"{name} is not installed")


@RUNNERS.runs("completion bash")
def bash_completes(text: str, place: Place) -> None:
    assert place.sh(text + BASH) == "csv\n"


@RUNNERS.runs("completion zsh")
def zsh_completes(text: str, place: Place) -> None:
    require_shell("zsh")
    (place.folder / "rc.zsh").write_text(f"autoload -U compinit; compinit -u\n{text}{ZSH}")
    assert place.sh("zsh -f rc.zsh") == "csv\n"


@RUNNERS.runs("completion fish")
def fish_completes(text: str, place: Place) -> None:
    require_shell("fish")
    (place.folder / "rc.fish").write_text(f"{text}complete -C 'llmgate usage report --format c'\n")
    assert place.sh("fish --no-config rc.fish").split() == ["csv"]
