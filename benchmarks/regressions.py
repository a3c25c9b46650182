"""Whether a call has become more expensive than in the commit before: function calls, which any machine counts alike.

    python -m benchmarks.regressions [BASE]

Counts the calls of benchmarks.counted in this tree and in the commit BASE, by the same interpreter and one after the
other.  BASE is by default where this branch left the main one, or the commit before where this is the main one.  The
exit code is 1 where one of the calls has grown by 3 % or more, unless a commit since then says in a trailer what
that buys:

    Costs: a caller's deny list is asked for each call
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import click

from benchmarks.counted import counted_in

GROWTH = 0.03
TRAILER = "Costs"
HERE = Path(__file__).parents[1]

Counts = Mapping[str, Mapping[str, int]]


class NoHistory(Exception):
    """There is no commit to compare with; the text says why."""


def git(*arguments: str, folder: Path = HERE) -> bytes:
    """What git prints.  Raises NoHistory where it fails."""
    try:
        return subprocess.run(["git", "-C", folder, *arguments], capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise NoHistory("git is not installed") from None
    except subprocess.CalledProcessError as error:
        raise NoHistory(f"git {arguments[0]}: {error.stderr.decode().strip()}") from None


def base_of(folder: Path = HERE) -> str:
    """The commit to compare with.  Raises NoHistory where it is not there, as in a shallow clone."""
    for main in ("origin/main", "main"):
        try:
            found = git("merge-base", main, "HEAD", folder=folder).decode().strip()
        except NoHistory:
            continue
        if found != git("rev-parse", "HEAD", folder=folder).decode().strip():
            return found
    return git("rev-parse", "--verify", "HEAD^", folder=folder).decode().strip()


def reasons_since(base: str, folder: Path = HERE) -> list[str]:
    """What commits since then buy with what they cost."""
    said = git("log", f"--format=%(trailers:key={TRAILER},valueonly)", f"{base}..HEAD", folder=folder)
    return [line for line in said.decode().splitlines() if line.strip()]


def counts_of(commit: str) -> Counts:
    """Function calls in the tree of a commit, by call and by folder of the package."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=BytesIO(git("archive", commit))) as files:
            files.extractall(folder, filter="data")
        return counted_in(Path(folder))


def grown(before: Counts, now: Counts) -> list[str]:
    """A sentence for each call that has grown too much, with the folders that have."""
    found = []
    for call in before.keys() & now.keys():
        folders = before[call].keys() | now[call].keys()
        changes = {each: now[call].get(each, 0) - before[call].get(each, 0) for each in folders}
        old, added = sum(before[call].values()), sum(changes.values())
        if added >= GROWTH * old:
            where = ", ".join(f"{each} {change:+}" for each, change in sorted(changes.items()) if change)
            found.append(f"{call}: {old} function calls have become {old + added} ({where})")
    return sorted(found)


@click.command()
@click.argument("base", required=False)
def main(base: str | None) -> None:
    """Compare."""
    try:
        commit = base or base_of()
        before, reasons = counts_of(commit), reasons_since(commit)
    except NoHistory as error:
        click.echo(f"skipped: {error}")
        return
    now = counted_in(HERE)
    for call in now:
        click.echo(
            f"{call}: {sum(before[call].values())} function calls in {commit[:10]}, {sum(now[call].values())} here"
        )
    found = grown(before, now)
    for each in [*found, *(f"{TRAILER}: {reason}" for reason in reasons if found)]:
        click.echo(each)
    if found and not reasons:
        click.echo(f"Say in a commit's message what that buys, as a trailer `{TRAILER}: ...`, or find it cheaper.")
        sys.exit(1)


if __name__ == "__main__":
    main()
