"""Generated lines, run by bash without any program: each command that bash looks for must be one that was told.

It found, in tree-sitter-bash 0.25, words that are lost, lines that are joined, and comments that are none.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from asgi_llmgate.safeguards.shell import commands_of

_WRITTEN = """\
aa¦b-b¦"c c"¦'d d'¦e\\ e¦$X¦"$X"¦${X}¦$(ff)¦`gg`¦"$(hh)"¦{i,j}¦k#l¦#m¦$'n'¦o=p ¦Q=r ¦$Q¦""¦\\¦"¦'¦$¦\
*¦(¦)¦{ ¦; }¦[ -n s ]¦[[ t == u ]]¦! ¦time ¦then ¦fi¦if ¦do ¦done¦while ¦for v in w; ¦case y in z) ¦\
esac¦;;¦fn() ¦function fn ¦<<<¦<<E¦<<'E'¦<<-E¦\nE\n¦E¦\n¦\t¦ ¦ ¦; ¦&& ¦|| ¦| ¦2>&1 ¦<(¦>(¦((¦))¦\
$((1+1))¦${X:-Y}¦${X#$(pp)}¦"${X:-$(qq)}"¦\\\n¦\\;¦\\#¦a=(1 2)¦eval ¦sh -c ¦env ¦$(¦`"""
PARTS = _WRITTEN.split("¦")
"""What lines are made of: words, quotes, and what means something to a shell, whole and in halves."""

HARNESS = """
command_not_found_handle() { local IFS; printf '%s\\0' "$@" >&9; printf 'END\\0' >&9; }
while IFS= read -r -d '' line <&8; do
  printf 'LINE\\0END\\0' >&9
  ( eval "$line
"; wait ) </dev/null >/dev/null 2>&1 8<&-
done
"""


def lines(number: int) -> list[str]:
    """Lines that can be read, as they come."""
    generator = random.Random(24)
    found = []
    while len(found) < number:
        count = generator.randint(2, 9)
        line = "".join(generator.choice(PARTS) + generator.choice(["", " ", " "]) for _ in range(count))
        if commands_of(line) is not None:
            found.append(line)
    return found


def run(bash: str, lines: Sequence[str], folder: Path) -> list[list[list[str]]]:
    """The commands that bash has looked for, of each line."""
    (folder / "in").write_bytes(b"".join(line.encode() + b"\0" for line in lines))
    (folder / "empty").mkdir()
    script = f"exec 8<../in 9>../out; {HARNESS}"
    subprocess.run([bash, "--norc", "-c", script], cwd=folder / "empty", env={"PATH": "/none"}, check=True, timeout=120)
    found: list[list[list[str]]] = []
    command: list[str] = []
    for word in (folder / "out").read_text().split("\0"):
        if word != "END":
            command.append(word)
        elif command == ["LINE"]:
            found.append([])
            command = []
        else:
            found[-1].append(command)
            command = []
    return found


def fits(ran: Sequence[str], told: Sequence[str]) -> bool:
    """Whether a command that was told is the one that ran; a word that was filled in may be any words."""
    if not told:
        return not ran
    first, *rest = told
    if any(mark in first for mark in "$`*") or first.startswith(("<(", ">(")):
        return any(fits(ran[number:], rest) for number in range(len(ran) + 1))
    return bool(ran) and ran[0] == first and fits(ran[1:], rest)


def test_no_command_that_bash_runs_is_overlooked(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    generated = lines(400)
    ran = run(bash, generated, tmp_path)
    assert len(ran) == len(generated)
    assert sum(map(len, ran)) > 240
    overlooked = []
    for line, commands in zip(generated, ran, strict=True):
        told = commands_of(line) or []
        # The name of an option or of an assignment is not taken for a command, and nothing has such a name.
        real = [command for command in commands if command[:1] and command[0] and "=" not in command[0]]
        overlooked += [(line, command) for command in real if not any(fits(command, each) for each in told)]
    assert overlooked == []
