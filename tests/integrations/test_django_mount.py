"""The gateway in asgi.py: what the setting may be, what a mistake does, and that a test can change it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asgi_llmgate import SettingsError
from tests.helpers import django_site
from tests.helpers.django_site import configured
from tests.integrations.conftest import ASK

if TYPE_CHECKING:
    from tests.integrations.conftest import Company

application = django_site.ready()

import llmgate_django  # noqa: E402
from django.conf import settings  # noqa: E402
from django.test import override_settings  # noqa: E402


def post(url: str, **options: Any) -> httpx.Response:
    return httpx.post(f"{url}/llm/v1/messages", json=ASK, **options)


def test_two_lines_are_enough(company: Company, serve: Callable[..., str]) -> None:
    with override_settings(LLMGATE=company.settings()):
        url = serve(llmgate_django.mount(application))
        assert post(url, headers=company.bearer()).json()["content"][0]["text"] == "Hi."
        assert post(url, headers=company.bearer(team="marketing")).status_code == 403
        assert post(url).status_code == 401
        assert httpx.get(f"{url}/page").text == "host /page"


def test_the_prefix_is_the_hosts_choice(company: Company, serve: Callable[..., str]) -> None:
    with override_settings(LLMGATE=company.settings()):
        url = serve(llmgate_django.mount(application, "/ai"))
        assert httpx.post(f"{url}/ai/v1/messages", json=ASK, headers=company.bearer()).status_code == 200
        assert httpx.get(f"{url}/llm/v1/models").text == "host /llm/v1/models"


WITH_STATIC_FILES = ["django.contrib.staticfiles", *settings.INSTALLED_APPS]
CSS = "/static/admin/css/base.css"


@pytest.mark.parametrize(
    ("changed", "served"),
    [
        ({"DEBUG": True, "INSTALLED_APPS": WITH_STATIC_FILES}, True),
        ({"DEBUG": False, "INSTALLED_APPS": WITH_STATIC_FILES}, False),
        ({"DEBUG": True}, False),
        ({"DEBUG": True, "INSTALLED_APPS": WITH_STATIC_FILES, "STATIC_URL": None}, False),
        ({"DEBUG": True, "INSTALLED_APPS": WITH_STATIC_FILES, "MEDIA_ROOT": "/x", "STATIC_ROOT": "/x"}, False),
    ],
)
def test_static_files_are_served_where_runserver_would(
    company: Company, serve: Callable[..., str], changed: dict[str, Any], served: bool
) -> None:
    with override_settings(LLMGATE=company.settings(), **changed):
        url = serve(llmgate_django.mount(application))
        style, page, missing = (httpx.get(url + path) for path in (CSS, "/page", "/static/none.css"))
    assert page.text == "host /page"
    assert ("--primary" in style.text, style.text == f"host {CSS}") == (served, not served)
    assert (missing.status_code == 404) is served


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (None, "the Django setting LLMGATE is missing"),
        ([], "the Django setting LLMGATE is not a dict"),
        ({"modells": []}, r"modells: unknown key \(did you mean models\?\)"),
        ({"auth": {"django_session": "yes"}}, "auth.django_session: must be True or False"),
        ({"policy": {"rules": ["jwt.team =="]}}, r"policy.rules\[0\]"),
        ({"usage": {"ledger": {"url": "django", "keep": "long"}}}, "usage.ledger.keep: not a duration: 'long'"),
        ({"usage": {"ledger": {"url": "django", "journal": "x"}}}, "usage.ledger.journal"),
    ],
)
def test_a_wrong_setting_stops_the_server(company: Company, changed: Any, says: str) -> None:
    setting = company.settings(**changed) if isinstance(changed, dict) else changed
    with configured(setting), pytest.raises(SettingsError, match=says):
        llmgate_django.mount(application)


@pytest.mark.parametrize(
    ("missing", "changed", "says"),
    [
        ("django.contrib.sessions", {"auth": {"django_session": True}}, "needs django.contrib.sessions in"),
        ("llmgate_django", {"usage": {"ledger": {"url": "django"}}}, "needs llmgate_django in INSTALLED_APPS"),
    ],
)
def test_what_needs_an_app_says_so(company: Company, missing: str, changed: Any, says: str) -> None:
    from django.conf import settings

    left = [name for name in settings.INSTALLED_APPS if name != missing]
    with (
        configured(company.settings(**changed)),
        override_settings(INSTALLED_APPS=left),
        pytest.raises(SettingsError, match=says),
    ):
        llmgate_django.mount(application)


def test_paths_may_be_paths_and_are_relative_to_the_project(
    company: Company, serve: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("sk-1")
    (tmp_path / "other").write_text("sk-2")
    for key in (f"file:{tmp_path / 'key'}", "file:other"):
        backend = {"base_url": company.base_url, "api_key": key}
        log = {"access_log": {"file": tmp_path / "access.log"}}
        changed = company.settings(backends={"openai": backend}, usage=log)
        with override_settings(BASE_DIR=tmp_path, LLMGATE=changed):
            assert post(serve(llmgate_django.mount(application)), headers=company.bearer()).status_code == 200
    assert [request.authorization for request in company.model.requests] == ["Bearer sk-1", "Bearer sk-2"]
    assert len((tmp_path / "access.log").read_text().splitlines()) == 2


def test_a_test_may_change_the_setting_of_a_running_gateway(company: Company, serve: Callable[..., str]) -> None:
    with override_settings(LLMGATE=company.settings()):
        url = serve(llmgate_django.mount(application))
        marketing = company.bearer(team="marketing")
        assert post(url, headers=marketing).status_code == 403
        with override_settings(LLMGATE=company.settings(policy={"rules": ["true"]})):
            assert post(url, headers=marketing).status_code == 200
        assert post(url, headers=marketing).status_code == 403
        with pytest.raises(SettingsError, match="policy"), override_settings(LLMGATE=company.settings(policy={})):
            pass
        assert post(url, headers=company.bearer()).status_code == 200
