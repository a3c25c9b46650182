"""`llmgate init` in folders as people have them; tests/integrations/test_first_contact.py runs what it prints."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from joserfc import jwk

from asgi_llmgate.cli import main
from asgi_llmgate.cli.init import command
from asgi_llmgate.cli.init.hosts import HOSTS
from asgi_llmgate.testing.idp import MockIdP

MANAGE = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "acme.settings")\n'
OWN_APP = "from fastapi import FastAPI\n\napi = FastAPI(title='ours')\n"

Init = Callable[..., Result]


@pytest.fixture(scope="module")
def key() -> jwk.Key:
    """One for all, since making it takes longer than any of these tests."""
    return MockIdP().key


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: jwk.Key) -> Init:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("asgi_llmgate.testing.idp._new_key", lambda kid, algorithm: key)
    return lambda *arguments: CliRunner().invoke(main, ["init", *arguments])


def files(folder: Path) -> dict[str, str]:
    """Each file below the folder, without the key."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".llmgate" not in path.parts)
    return {str(path.relative_to(folder)): path.read_text() for path in found}


def make_site(folder: Path) -> None:
    (folder / "acme").mkdir()
    (folder / "acme" / "settings.py").write_text("SECRET_KEY = 'x'\n")
    (folder / "manage.py").write_text(MANAGE)


@pytest.mark.parametrize("host", ["starlette", "fastapi", "quart", "serve"])
def test_the_settings_are_good_and_explained(host: str, init: Init, tmp_path: Path) -> None:
    done = init(host)
    assert (done.exit_code, done.stderr) == (0, "")
    app = set() if host == "serve" else {"app.py"}
    assert files(tmp_path).keys() == {"llmgate.yaml", "llmgate.schema.json", ".gitignore", *app}
    checked = CliRunner().invoke(main, ["check"])
    assert checked.exit_code == 0
    assert "warning" not in checked.output
    first, *lines = (tmp_path / "llmgate.yaml").read_text().splitlines()
    assert first == "# yaml-language-server: $schema=llmgate.schema.json"
    schema = CliRunner().invoke(main, ["schema"]).stdout
    assert (tmp_path / "llmgate.schema.json").read_text() == schema
    assert sum(line.strip().startswith("#") for line in lines) >= 4
    assert all(len(line) <= 120 for line in lines)
    assert (tmp_path / ".gitignore").read_text() == ".llmgate/\n"
    assert (tmp_path / ".llmgate" / "private-key.json").stat().st_mode & 0o077 == 0


def test_a_site_gets_a_file_of_its_own_and_keeps_the_others(init: Init, tmp_path: Path) -> None:
    make_site(tmp_path)
    before = files(tmp_path)
    done = init()
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("Django, because manage.py is here.")
    after = files(tmp_path)
    assert after.keys() - before.keys() == {"acme/llmgate_settings.py", ".gitignore"}
    assert {name: after[name] for name in before} == before
    for line in ("from acme.llmgate_settings import LLMGATE", "application = llmgate_django.mount(application)"):
        assert line in done.stdout
    found: dict[str, object] = {}
    exec(after["acme/llmgate_settings.py"], found)
    assert found["LLMGATE"]


@pytest.mark.parametrize(
    ("line", "own"),
    [
        ('LLMGATE = {"auth": {}}', True),
        ("LLMGATE: dict[str, object] = {}", True),
        ("if True:\n    LLMGATE={}", True),
        ("from acme.llmgate_settings import LLMGATE", False),
        ('LLMGATE["auth"]["django_session"] = True', False),
        ("# LLMGATE = {}", False),
        ("LLMGATE_CONFIG = 'x'", False),
    ],
)
def test_a_site_keeps_the_settings_that_it_has(line: str, own: bool, init: Init, tmp_path: Path) -> None:
    make_site(tmp_path)
    (tmp_path / "acme" / "settings.py").write_text(f"SECRET_KEY = 'x'\n{line}\n")
    done = init("django")
    assert done.exit_code == own
    assert ("acme/settings.py has a setting LLMGATE already. Nothing was written." in done.stderr) is own
    assert (tmp_path / "acme" / "llmgate_settings.py").exists() is not own


def test_every_rule_has_a_reason() -> None:
    for name in ("llmgate.yaml", "llmgate_settings.txt"):
        text = command.files.template(name)
        assert len(re.findall(r"\bwhen\b", text)) == len(re.findall(r"\breason\b\"?:", text)) == 1


@pytest.mark.parametrize("host", ["fastapi", "serve"])
def test_a_second_time_changes_nothing(host: str, init: Init, tmp_path: Path) -> None:
    init(host)
    before = {**files(tmp_path), "key": (tmp_path / ".llmgate" / "private-key.json").read_text()}
    done = init(host)
    assert done.exit_code == 0
    assert done.stdout.startswith("Everything is here already; nothing was written.")
    assert {**files(tmp_path), "key": (tmp_path / ".llmgate" / "private-key.json").read_text()} == before


@pytest.mark.parametrize("name", ["llmgate.yaml", "llmgate.schema.json"])
def test_a_file_with_other_content_stops_it_before_anything_is_written(name: str, init: Init, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine\n")
    done = init("fastapi")
    assert done.exit_code == 1
    assert done.stderr.startswith(
        f"Error: {name} exists already in {tmp_path}, with other content. Nothing was written."
    )
    assert files(tmp_path) == {name: "mine\n"}
    assert not (tmp_path / ".llmgate").exists()
    assert init("fastapi", "--force").exit_code == 0
    assert "mine" not in (tmp_path / name).read_text()


def test_force_keeps_an_app_of_ones_own(init: Init, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(OWN_APP)
    (tmp_path / "llmgate.yaml").write_text("old: settings\n")
    assert init("fastapi", "--force").exit_code == 0
    assert (tmp_path / "app.py").read_text() == OWN_APP


@pytest.mark.parametrize("name", ["app.py", "main.py"])
def test_an_app_that_is_there_gets_lines_to_add(name: str, init: Init, tmp_path: Path) -> None:
    (tmp_path / name).write_text(OWN_APP)
    done = init()
    assert done.exit_code == 0
    assert done.stdout.startswith(f"FastAPI, because {name} makes a FastAPI app.")
    assert f"Add the gateway to {name}:" in done.stdout
    assert 'app.mount("/llm", gateway)'.replace("app", "api") in done.stdout
    assert f"uvicorn {name.removesuffix('.py')}:api --port 8080" in done.stdout
    assert files(tmp_path).keys() == {name, "llmgate.yaml", "llmgate.schema.json", ".gitignore"}
    (tmp_path / name).write_text(f"import asgi_llmgate\n{OWN_APP}")
    assert "Add the gateway" not in init().stdout


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ".llmgate/\n"),
        ("*.pyc", "*.pyc\n.llmgate/\n"),
        ("*.pyc\n", "*.pyc\n.llmgate/\n"),
        (".llmgate\n", ".llmgate\n"),
        ("/.llmgate/", "/.llmgate/"),
    ],
)
def test_the_key_is_kept_out_of_the_repository(before: str, after: str, init: Init, tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text(before)
    assert init("serve").exit_code == 0
    assert (tmp_path / ".gitignore").read_text() == after


@pytest.mark.parametrize("name", ["llmgate.yaml", "app.py", ".llmgate", ".gitignore"])
def test_something_in_the_way_is_an_error_of_one_line(name: str, init: Init, tmp_path: Path) -> None:
    if name == ".llmgate":
        (tmp_path / name).write_text("a file")
    else:
        (tmp_path / name).mkdir()
    done = init("fastapi", "--force")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_an_error_of_one_line(init: Init, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = init("serve")
    tmp_path.chmod(0o700)
    assert done.exit_code == 1
    assert f"cannot write in {tmp_path}" in done.stderr


def test_the_printed_commands_need_no_active_environment(
    init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path / ".venv"))
    inside = init("serve").stdout
    assert "  .venv/bin/llmgate model\n" in inside
    assert "$(.venv/bin/llmgate mint)" in inside
    assert f"  cd {tmp_path}\n" in inside
    monkeypatch.setattr("sys.prefix", "/opt/our tools")
    assert "'/opt/our tools/bin/llmgate' model" in init("serve").stdout
    monkeypatch.setattr("sys.base_prefix", "/opt/our tools")
    assert "  llmgate model\n" in init("serve").stdout


def test_what_is_not_installed_is_said_with_the_line_that_installs_it(
    init: Init, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "is_installed", lambda name: False)
    assert re.search(r"FastAPI is not installed: pip install \S+\[fastapi,serve\]", init("fastapi").stdout)
    assert re.search(r"uvicorn, which .* is not installed: pip install \S+\[serve\]", init("serve").stdout)


def test_a_word_that_is_no_host_is_answered_with_the_hosts(init: Init) -> None:
    done = init("flask")
    assert done.exit_code == 2
    assert all(repr(name) in done.stderr for name in HOSTS)
