"""Mutation check: do the tests of a room notice a small mistake in its code?

    python -m tests.mutants                       60 mutants of five rooms, as `make mutants` runs it
    python -m tests.mutants --rooms auth --count 30 --seed another

Each mutant runs the tests of its room's folder, those of its own module first, until one fails.  It survives when all
pass.  `equivalent.toml` lists mutants that behave like the original, with the reason; they are not drawn.  The exit
code is 1 when more than 3 of 60 survive, and 2 when the tests fail without any mutant.
"""

from __future__ import annotations

import argparse
import difflib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.mutations import Mutant, draw, mutants_of

ROOT = Path(__file__).parents[2]
PACKAGE = "asgi_llmgate"
ROOMS = ("endpoints", "upstream", "policy", "limits", "auth")
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
MAX_SURVIVORS = 3 / 60


def modules(room: str) -> Iterator[tuple[str, str]]:
    """Path and text of each module of a room."""
    for file in sorted((ROOT / PACKAGE / room).rglob("*.py")):
        yield str(file.relative_to(ROOT)), file.read_text("utf-8")


def equivalents() -> list[dict[str, str]]:
    """The rows of equivalent.toml: `path`, `function`, `before`, `after`, `why`."""
    rows: list[dict[str, str]] = tomllib.loads(EQUIVALENT.read_text("utf-8")).get("mutant", [])
    return rows


def is_equivalent(mutant: Mutant) -> bool:
    found = (mutant.path, mutant.function, mutant.before, mutant.after)
    return found in {(row["path"], row["function"], row["before"], row["after"]) for row in equivalents()}


def mutants_in(room: str) -> list[Mutant]:
    return [mutant for path, source in modules(room) for mutant in mutants_of(path, source)]


def copy_of_the_tree(folder: Path) -> Path:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def own_tests(mutant: Mutant, tree: Path) -> list[str]:
    """The test module that mirrors the mutant's module, where there is one."""
    module = Path(mutant.path).relative_to(PACKAGE)
    own = Path("tests") / module.with_name(f"test_{module.name}")
    return [str(own)] if (tree / own).exists() else []


def run_tests(
    tree: Path, paths: Sequence[str], timeout: float | None, *, compile_once: bool = False
) -> tuple[int, str]:
    """pytest's exit code and output in a copy of the tree; a run that takes too long has failed."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    if not compile_once:  # a compiled file of another mutant must not be left behind
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=short", *paths]
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return 1, "timed out"


def is_killed(mutant: Mutant, tree: Path, timeout: float) -> bool:
    file = tree / mutant.path
    original = file.read_text("utf-8")
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()
    file.write_text(mutant.applied_to(original), "utf-8")
    folder = f"tests/{Path(mutant.path).parts[1]}"
    try:
        code, output = run_tests(tree, [*own_tests(mutant, tree), folder], timeout)
        assert code in (0, 1, 2), output  # 2: the mutant cannot even be imported
        return code != 0
    finally:
        file.write_text(original, "utf-8")


def diff(mutant: Mutant) -> str:
    source = (ROOT / mutant.path).read_text("utf-8")
    lines = (text.splitlines(keepends=True) for text in (source, mutant.applied_to(source)))
    return "".join(difflib.unified_diff(*lines, fromfile=mutant.path, tofile="mutant", n=2))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--rooms", type=lambda text: text.split(","), default=ROOMS)
    parser.add_argument("--count", type=int, default=60, help="mutants in all; each room has its share")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    rooms: Sequence[str] = options.rooms
    drawn = [
        mutant
        for number, room in enumerate(rooms)
        for mutant in draw(
            (each for each in mutants_in(room) if not is_equivalent(each)),
            options.count * (number + 1) // len(rooms) - options.count * number // len(rooms),
            options.seed,
        )
    ]
    started = time.monotonic()
    with ExitStack() as stack:
        trees: SimpleQueue[Path] = SimpleQueue()
        for _ in range(options.jobs):
            trees.put(copy_of_the_tree(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mutants-")))))
        pool = stack.enter_context(ThreadPoolExecutor(options.jobs))

        def unchanged(room: str) -> tuple[str, float]:
            """What the tests of a room print when they fail as they are, and how many seconds they take."""
            tree, since = trees.get(), time.monotonic()
            code, output = run_tests(tree, [f"tests/{room}"], None, compile_once=True)
            trees.put(tree)
            return output if code else "", time.monotonic() - since

        seconds = {}
        for room, (output, taken) in zip(rooms, pool.map(unchanged, rooms), strict=True):
            if output:
                print(f"tests/{room} fails without a mutant:\n{output}", file=sys.stderr)
                return 2
            seconds[room] = taken

        def killed(mutant: Mutant) -> bool:
            tree = trees.get()
            try:
                return is_killed(mutant, tree, timeout=30 + 3 * seconds[Path(mutant.path).parts[1]])
            finally:
                trees.put(tree)

        survivors = []
        for mutant, dead in zip(drawn, pool.map(killed, drawn), strict=True):
            print(f"{'killed  ' if dead else 'SURVIVED'}  {mutant.path}:{mutant.line}  {mutant.kind}", flush=True)
            if not dead:
                survivors.append(mutant)
    for mutant in survivors:
        print(f"\n{mutant.path}:{mutant.line} in {mutant.function}\n{diff(mutant)}")
    took = (time.monotonic() - started) / 60
    print(f"{len(drawn) - len(survivors)} of {len(drawn)} mutants killed in {took:.1f} minutes")
    return 1 if len(survivors) > MAX_SURVIVORS * len(drawn) else 0


if __name__ == "__main__":
    sys.exit(main())
