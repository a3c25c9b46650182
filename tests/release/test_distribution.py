"""`make dist`, and somebody who has nothing but its wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from packaging.metadata import Metadata

from asgi_llmgate._version import __version__
from asgi_llmgate.cli import main
from tests.helpers.distribution.project import WHEEL, extras, pyproject
from tests.helpers.distribution.wheel import (
    UV_OPTIONS,
    build_python,
    built_wheel,
    installed,
    installers,
    lend_build_tools,
    newcomer,
    outside_of_make,
    uv,
)
from tests.helpers.installation import CONSTRAINTS, ROOT, run, version_of
from tests.library.without_extras import run_commands
from tests.test_extras import COMMANDS, every_command, write_settings

pytestmark = pytest.mark.servers

SDIST = f"asgi_llmgate-{__version__}.tar.gz"

STRAY = (
    "asgi_llmgate/key.txt",
    "asgi_llmgate/page/templates/mine.html",
    "docs/draft.md",
    "examples/lab/.llmgate/key.json",
)
"""Files of somebody who builds, which git does not know: keys and drafts."""


def do(*command: str | Path, cwd: Path, env: dict[str, str]) -> str:
    """What a command of ours prints; `run` is for tools, whose failure may skip a test."""
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def clone(folder: Path) -> Path:
    run("git", "clone", "--quiet", "--no-tags", ROOT, folder)
    lend_build_tools(folder)
    return folder


def make_dist(folder: Path, umask: str) -> Path:
    run("sh", "-c", f"umask {umask} && exec make dist", cwd=folder, env=outside_of_make())
    assert sorted(os.listdir(folder / "dist")) == [WHEEL, SDIST]
    return folder / "dist"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` makes in a clone with stray files."""
    folder = clone(tmp_path_factory.mktemp("dist") / "clone")
    for name in STRAY:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("sk-secret")
    return make_dist(folder, "022")


def test_the_wheel_holds_what_git_has_of_the_packages_and_nothing_else(dist: Path) -> None:
    tracked = run("git", "ls-files", cwd=dist.parent).splitlines()
    wheel = pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["force-include"]) <= set(tracked)
    expected = {
        *(name for name in tracked if name.startswith("asgi_llmgate/")),
        *(name.removeprefix("integrations/") for name in tracked if name.startswith("integrations/")),
        *wheel["force-include"].values(),
    }
    packed = {name for name in zipfile.ZipFile(dist / WHEEL).namelist() if ".dist-info/" not in name}
    assert packed == expected
    assert {Path(name).suffix for name in packed} >= {".html", ".css", ".yaml"}
    assert {
        f"{name}/py.typed" for name in ("asgi_llmgate", "llmgate_django", "llmgate_quart", "llmgate_starlette")
    } <= packed
    assert any("/migrations/0001" in name for name in packed)
    assert not [name for name in packed if Path(name).name.startswith("test_")]


def test_the_sdist_holds_what_builds_the_wheel_and_no_stray_file(dist: Path) -> None:
    with tarfile.open(dist / SDIST) as opened:
        files = {member.name.partition("/")[2] for member in opened if member.isfile()}
    tracked = set(run("git", "ls-files", cwd=dist.parent).splitlines())
    assert files - tracked == {"PKG-INFO"}
    assert {"README.md", "CHANGELOG.md", "LICENSE", "SECURITY.md", "constraints.txt", "docs/how-to/install.md"} <= files


def test_the_wheel_of_the_sdist_is_that_of_the_tree_and_two_builds_are_the_same(dist: Path, tmp_path: Path) -> None:
    """`make dist` makes the wheel from the sdist."""
    other = clone(tmp_path / "another clone")
    epoch = run("git", "log", "-1", "--format=%ct", cwd=other).strip()
    options = ["--no-isolation", "--wheel", "--outdir", tmp_path]
    run(build_python(), "-m", "build", *options, other, env={**os.environ, "SOURCE_DATE_EPOCH": epoch})
    assert (tmp_path / WHEEL).read_bytes() == (dist / WHEEL).read_bytes()
    again = make_dist(other, "077")
    assert {name: (again / name).read_bytes() == (dist / name).read_bytes() for name in (WHEEL, SDIST)} == {
        WHEEL: True,
        SDIST: True,
    }


def test_the_description_leads_nowhere_that_an_index_does_not_know(dist: Path) -> None:
    opened = zipfile.ZipFile(dist / WHEEL)
    (name,) = (each for each in opened.namelist() if each.endswith("/METADATA"))
    metadata = Metadata.from_email(opened.read(name), validate=True)
    assert metadata.license_expression == "Apache-2.0"
    assert set(metadata.provides_extra or ()) == extras().keys()
    assert metadata.description_content_type == "text/markdown"
    text = metadata.description or ""
    tokens = [inner for token in MarkdownIt("commonmark").parse(text) for inner in [token, *(token.children or ())]]
    targets = [
        str(token.attrs.get("href") or token.attrs.get("src"))
        for token in tokens
        if token.type in ("link_open", "image")
    ]
    assert [target for target in targets if not target.startswith(("https://", "http://"))] == []
    assert not re.findall(r"<!--|(?:src|href)=[\"'](?!https?://)", text)
    assert len(text) > 3000
    assert "](" in (ROOT / "README.md").read_text()


def test_every_command_of_the_bare_wheel_ends_in_a_message(tmp_path: Path) -> None:
    """With what it brings and nothing else: the tests' own environment has packages that a user has not."""
    write_settings(tmp_path)
    every = every_command(main)
    commands = [*(command.split() for command, _ in COMMANDS), *every, *((*words, "--help") for words in every)]
    done = run_commands(commands, tmp_path, python=installed() / "bin" / "python")
    assert [(words, each) for words, each in zip(commands, done, strict=True) if each.crash] == []
    for (command, message), each in zip(COMMANDS, done, strict=False):
        assert re.search(message, each.output), (command, each.output)


def test_the_demo_runs_from_the_wheel_in_an_empty_folder(tmp_path: Path) -> None:
    environment = installed("demo")
    plain = newcomer(environment, tmp_path) | {"NO_PROXY": "127.0.0.1"}
    printed = do(environment / "bin" / "llmgate", "demo", "--once", "--port", "0", cwd=tmp_path, env=plain)
    assert re.findall(r"^  \S.{31} +(\d{3})  ", printed, re.MULTILINE) == ["401", "403", "200", "200"]


def test_the_wheel_works_on_another_python(tmp_path: Path) -> None:
    other = run(ROOT / ".ci" / "other-python", sys.executable).strip()
    environment = installed(python=other)
    assert version_of(environment / "bin" / "python") != version_of(sys.executable)
    write_settings(tmp_path)
    assert "llmgate.yaml" in run(
        environment / "bin" / "llmgate", "check", cwd=tmp_path, env=newcomer(environment, tmp_path)
    )


SYSTEMS = [
    ("3.11", "x86_64-manylinux_2_28"),
    ("3.12", "x86_64-manylinux_2_28"),
    ("3.13", "x86_64-manylinux_2_28"),
    ("3.14", "x86_64-manylinux_2_28"),
    ("3.14", "aarch64-manylinux_2_28"),
    ("3.14", "aarch64-apple-darwin"),
]


def compile_all(python: str, system: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Which wheels all extras need there; no compiler is used.  Only descriptions of packages are downloaded."""
    (folder / "requirements.in").write_text(f"{built_wheel()}[{','.join(extras())}]\n")
    options = ["--only-binary", ":all:", "--python-version", python, "--python-platform", system]
    return subprocess.run(
        [installers() / "uv", "pip", "compile", "--quiet", "-c", CONSTRAINTS, *options, "requirements.in"],
        cwd=folder,
        env={**os.environ, **UV_OPTIONS},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(("python", "system"), SYSTEMS)
def test_all_extras_have_wheels(python: str, system: str, tmp_path: Path) -> None:
    done = compile_all(python, system, tmp_path)
    assert done.returncode == 0, done.stderr


def test_alpine_lacks_what_the_page_says(tmp_path: Path) -> None:
    done = compile_all("3.13", "x86_64-unknown-linux-musl", tmp_path)
    assert "google-re2" in done.stderr
    assert "google-re2 has no wheel for musl" in (ROOT / "docs" / "how-to" / "install.md").read_text()


def test_the_oldest_versions_that_pyproject_allows_work(tmp_path: Path) -> None:
    """pip keeps an older package that the app has already, if it is in our range.

    msgspec 0.20 was: a body that is not JSON was a 500.  So was Authlib 1.6: a good token of RFC 9068 was one.
    """
    environment, project = tmp_path / "oldest", ROOT / "pyproject.toml"
    uv("venv", "--python", sys.executable, environment)
    options = ["--resolution", "lowest-direct", "--only-binary", ":all:", "--python", environment]
    uv("pip", "install", *options, "-r", project, "--all-extras")
    uv("pip", "install", "--python", environment, "--no-deps", built_wheel())
    plain = newcomer(environment, tmp_path) | {"NO_PROXY": "127.0.0.1"}
    python = environment / "bin" / "python"
    printed = do(environment / "bin" / "llmgate", "demo", "--once", "--port", "0", cwd=tmp_path, env=plain)
    assert re.findall(r"^  \S.{31} +(\d{3})  ", printed, re.MULTILINE) == ["401", "403", "200", "200"]
    do(
        python,
        "-c",
        "import llmgate_django, llmgate_starlette, llmgate_quart, asgi_llmgate.workers",
        cwd=tmp_path,
        env=plain,
    )
    do(python, "-c", NOT_JSON, cwd=tmp_path, env=plain)
    uv("pip", "install", "--python", environment, "-c", CONSTRAINTS, "pytest", "pytest-asyncio", "hypothesis")
    tests = [f"tests/auth/{name}" for name in ("providers", "keys/test_key_set.py", "test_bad_tokens.py")]
    options = ["-q", "-p", "no:cacheprovider", "-o", "filterwarnings=default"]
    do(python, "-m", "pytest", *options, *tests, cwd=ROOT, env=plain)


NOT_JSON = """
import asyncio
from asgi_llmgate import Gateway
from asgi_llmgate.testing.driver import call

settings = {
    "auth": {"mode": "off"}, "policy": {"default": "allow"}, "usage": {"otel": True, "prometheus": True},
    "backends": {"o": {"base_url": "http://127.0.0.1:1/v1"}}, "models": [{"match": "*", "use": "o"}],
}

async def main():
    gateway = Gateway.from_settings(settings)
    for body in (b"", b"{", b"[1]", b'{"model": 1}', bytes(9)):
        answer = await call(gateway, "POST", "/v1/messages", content=body, headers={"content-type": "application/json"})
        assert answer.status == 400, (body, answer.status, answer.body)

asyncio.run(main())
"""
"""Bodies that the settings' library refuses in different ways, at a gateway with all sinks."""
