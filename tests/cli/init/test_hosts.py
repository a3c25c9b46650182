"""Which host `llmgate init` finds in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest

from asgi_llmgate.cli.init import hosts
from asgi_llmgate.cli.init.hosts import HOSTS, detect, django_settings, own_app

With = Callable[..., None]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> With:
    return lambda *names: monkeypatch.setattr(hosts, "is_installed", lambda name: name in names)


@pytest.mark.parametrize(
    ("packages", "name"),
    [
        (["fastapi", "starlette"], "fastapi"),
        (["starlette"], "starlette"),
        (["quart"], "quart"),
        (["django"], "django"),
        (["django", "quart"], "quart"),  # a site would have a manage.py
        ([], "serve"),
    ],
)
def test_an_empty_folder_gets_what_is_installed(
    packages: list[str], name: str, installed: With, tmp_path: Path
) -> None:
    installed(*packages)
    assert detect(tmp_path)[0].name == name


def test_two_that_are_as_likely_are_asked_about(installed: With, tmp_path: Path) -> None:
    installed("fastapi", "starlette", "quart")
    with pytest.raises(click.UsageError, match="fastapi and quart are installed: say which one"):
        detect(tmp_path)


@pytest.mark.parametrize(
    ("text", "name", "variable"),
    [
        ("app = FastAPI()\n", "fastapi", "app"),
        ("import fastapi\nservice: fastapi.FastAPI = fastapi.FastAPI(debug=True)\n", "fastapi", "service"),
        ("from starlette.applications import Starlette\nsite = Starlette(\n    routes=[])\n", "starlette", "site"),
        ("app = Quart(__name__)\n", "quart", "app"),
    ],
)
def test_an_app_in_a_file_counts_more_than_what_is_installed(
    text: str, name: str, variable: str, installed: With, tmp_path: Path
) -> None:
    installed("fastapi", "starlette", "quart", "django")
    (tmp_path / "main.py").write_text(text)
    host, why = detect(tmp_path)
    assert host.name == name
    assert "main.py" in why
    app = own_app(host, tmp_path)
    assert app is not None
    assert (app.file.name, app.variable) == ("main.py", variable)


@pytest.mark.parametrize("text", ["# app = FastAPI()\n", "def make():\n    app = FastAPI()\n", "x = MyFastAPI()\n", ""])
def test_what_is_no_app_at_the_top_of_a_file_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(text)
    assert own_app(HOSTS["fastapi"], tmp_path) is None


def test_a_file_that_is_not_utf8_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_bytes(b"# caf\xe9\napp = Quart(__name__)\n")
    assert own_app(HOSTS["quart"], tmp_path) is not None


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize(
    ("module", "file"),
    [
        ("acme.settings", "acme/settings.py"),
        ("acme.settings.dev", "acme/settings/dev.py"),
        ("acme.settings", "acme/settings/__init__.py"),
    ],
)
def test_the_settings_of_a_site_are_those_that_manage_py_names(
    quote: str, module: str, file: str, tmp_path: Path
) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).touch()
    (tmp_path / "manage.py").write_text(f"setdefault({quote}DJANGO_SETTINGS_MODULE{quote}, {quote}{module}{quote})")
    assert django_settings(tmp_path) == ("acme", file)


def test_without_a_site_it_is_said_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="django-admin startproject mysite"):
        django_settings(tmp_path)


def test_a_site_near_by_is_named(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "manage.py").touch()
    (tmp_path / "docs").mkdir()
    for place in (tmp_path, tmp_path / "docs" / "x"):
        place.mkdir(exist_ok=True)
    with pytest.raises(click.ClickException, match=f"the site is in {tmp_path / 'site'}; run the command there"):
        django_settings(tmp_path)
    (tmp_path / "site" / "acme").mkdir()
    with pytest.raises(click.ClickException, match=f"the site is in {tmp_path / 'site'}; run the command there"):
        django_settings(tmp_path / "site" / "acme")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "settings.configure()",
        'setdefault("DJANGO_SETTINGS_MODULE", "gone.settings")',
        'setdefault("DJANGO_SETTINGS_MODULE", "settings")',
    ],
)
def test_a_manage_py_that_does_not_help_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / "manage.py").write_text(text)
    (tmp_path / "settings.py").touch()
    with pytest.raises(click.ClickException, match=r"does not name a settings module .* docs/tutorial/django\.md"):
        django_settings(tmp_path)
