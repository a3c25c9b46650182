"""docs/how-to/install.md: its tables against pyproject.toml, and its lines as a reader runs them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_llmgate._version import __version__
from tests.docs.code_blocks import BLOCKS, NAMED, PAGES
from tests.docs.runners.installing import NEXT, STEPS
from tests.docs.shell import run_block
from tests.helpers.distribution.project import WHEEL, extras, requirements
from tests.helpers.distribution.wheel import UV_OPTIONS, build_python, built_wheel, installers, newcomer
from tests.helpers.installation import CONSTRAINTS, ROOT, run

PAGE = ROOT / "docs" / "how-to" / "install.md"
DOCKERFILE = ROOT / "examples" / "deploy" / "Dockerfile"

SETTINGS = """
auth: {mode: "off"}
backends: {o: {base_url: http://127.0.0.1:1/v1}}
models: [{match: "*", use: o}]
policy: {default: allow}
"""


def table(title: str) -> list[list[str]]:
    """The rows of the table on the page whose first column has this title."""
    lines = PAGE.read_text("utf-8").splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(f"| {title} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def packages(extra: str) -> set[str]:
    """The packages of an extra with their own extras, without versions and markers."""
    return {
        f"{each.name}[{','.join(sorted(each.extras))}]" if each.extras else each.name for each in requirements(extra)
    }


def test_the_table_of_extras_is_that_of_pyproject() -> None:
    rows = {row[0].strip("`"): set(re.findall(r"`([^`]+)`", row[2])) for row in table("extra")}
    assert rows == {extra: packages(extra) for extra in extras()}


def test_each_host_has_extras_that_there_are() -> None:
    rows = table("your web app")
    named = [set(each.split(",")) for row in rows for each in re.findall(r"`([\w,]+)`", row[1])]
    assert len(rows) > 5
    assert set().union(*named) <= extras().keys()
    assert {"django", "starlette", "fastapi", "quart", "serve", "gunicorn"} <= set().union(*named)


def test_the_page_shows_the_lines_of_the_dockerfile() -> None:
    assert NAMED["install container"].text in DOCKERFILE.read_text()


def test_the_blocks_are_followed_in_the_order_of_the_page() -> None:
    names = [block.name.removeprefix("install ") for block in BLOCKS if block.page == str(PAGE.relative_to(ROOT))]
    assert [name for name in names if name] == list(STEPS)


def test_no_page_installs_from_an_index() -> None:
    """No index has the project.  With `--no-index` or an address the name alone is safe."""
    line = re.compile(r"(?:pip|pipx|uv pip|uv tool) (?:install|download)(?P<rest>[^`\n]*\basgi-llmgate\b[^`\n]*)")
    files = [*PAGES, *(ROOT / "examples").rglob("*.py"), DOCKERFILE]
    found = [
        f"{file.relative_to(ROOT)}: {each[0]}"
        for file in files
        for each in line.finditer(file.read_text("utf-8"))
        if "@ git+" not in each["rest"]
    ]
    assert found == []


def test_each_page_names_the_wheel_of_this_version() -> None:
    named = [
        (str(file.relative_to(ROOT)), version)
        for file in [*PAGES, DOCKERFILE]
        for version in re.findall(r"asgi_llmgate-([\d.]+)-py3", file.read_text("utf-8"))
    ]
    others = [each for each in named if each[1] != __version__]
    assert len(named) > 10
    assert others == [(str(PAGE.relative_to(ROOT)), NEXT)]


class Reader:
    """Somebody in a folder with the wheel and constraints.txt, who runs the blocks of the page one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = newcomer(folder / ".venv", folder) | {
            **UV_OPTIONS,
            "REPOSITORY": f"file://localhost{folder}/repository",
            "PIP_CONSTRAINT": str(CONSTRAINTS),
            "PIP_NO_COMPILE": "1",
            "UV_CONSTRAINT": str(CONSTRAINTS),
            "UV_TOOL_BIN_DIR": str(folder / "uv-bin"),
            "UV_TOOL_DIR": str(folder / "uv-tools"),
            "PIPX_BIN_DIR": str(folder / "pipx-bin"),
            "PIPX_HOME": str(folder / "pipx"),
        }
        # uv and pipx without the python3 beside them
        for name in ("uv", "pipx"):
            (folder / "bin").mkdir(exist_ok=True)
            (folder / "bin" / name).symlink_to(installers() / name)
        self.environment["PATH"] += f":{folder / 'bin'}"
        # What the wheel needs is there, from uv's cache: the tutorials' tests wait for pip to fill an empty one.
        self.do(f'uv venv --quiet --seed && uv pip install --quiet "./{WHEEL}[django,serve]"')
        self.forget()

    def do(self, command: str, *, code: int = 0) -> str:
        done = run_block(command, self.folder, self.environment, timeout=300, code=code)
        return done.stdout + done.stderr

    def follow(self, step: str) -> str:
        return self.do(NAMED[f"install {step}"].text)

    def forget(self) -> None:
        """Only our wheel, not what it needs: each way to install it then has to do its part, and does it quickly."""
        self.do("pip uninstall --quiet --yes asgi-llmgate")

    def version(self, llmgate: str = "llmgate") -> str:
        return self.do(f"{llmgate} --version").strip().removeprefix("llmgate, version ")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    shutil.copy(built_wheel(), tmp_path)
    shutil.copy(CONSTRAINTS, tmp_path)
    (tmp_path / "llmgate.yaml").write_text(SETTINGS)
    return Reader(tmp_path)


def repository(folder: Path) -> None:
    """A clone with the tag that a release has."""
    run("git", "clone", "--quiet", "--no-tags", ROOT, folder)
    run("git", "-c", "user.name=x", "-c", "user.email=x@x", "tag", f"v{__version__}", cwd=folder)


def next_wheel(folder: Path) -> None:
    """The wheel of the next version, in `folder`."""
    source = folder / "next"
    run("git", "clone", "--quiet", "--no-tags", ROOT, source)
    (source / "asgi_llmgate" / "_version.py").write_text(f'__version__ = "{NEXT}"\n')
    run(build_python(), "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, source)


@pytest.mark.servers
def test_each_line_of_the_page_installs(reader: Reader) -> None:
    folder = reader.folder
    assert f"version {__version__}" in reader.follow("wheel")

    reader.forget()
    repository(folder / "repository")
    reader.follow("tag")
    assert reader.version() == __version__

    reader.forget()
    reader.follow("constraints")
    assert reader.version() == __version__

    reader.follow("download")
    reader.forget()
    reader.follow("offline")
    assert reader.version() == __version__
    # whatever is installed already: the folder alone is enough
    everything = "pip install --dry-run --ignore-installed --no-index --find-links wheelhouse"
    assert "Would install" in reader.do(f'{everything} "./wheelhouse/{WHEEL}[django,serve]"')

    reader.forget()
    reader.follow("lock")
    reader.follow("hashes")
    assert reader.version() == __version__
    reader.forget()
    locked = folder / "requirements.txt"
    locked.write_text(re.sub(rf"({WHEEL} \\\n +--hash=sha256:)\w{{64}}", rf"\g<1>{'0' * 64}", locked.read_text()))
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in reader.do(
        "pip install --require-hashes -r requirements.txt", code=1
    )

    (line,) = re.findall(r"^RUN (.*?[^\\])$", NAMED["install container"].text, re.MULTILINE | re.DOTALL)
    reader.do(line.replace("/tmp/", f"{folder}/").replace("--no-cache-dir ", ""))
    assert reader.version() == __version__
    reader.do("gunicorn --version && python -c 'import asgi_llmgate.workers, psycopg, starlette'")

    reader.forget()
    reader.follow("uv")
    assert reader.version() == __version__
    reader.follow("tool")
    assert reader.version(f"{folder}/uv-bin/llmgate") == __version__
    reader.follow("pipx")
    assert reader.version(f"{folder}/pipx-bin/llmgate") == __version__

    next_wheel(folder)
    assert "llmgate.yaml" in reader.follow("upgrade")
    assert reader.version() == NEXT
    reader.follow("rollback")
    assert reader.version() == __version__
