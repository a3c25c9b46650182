"""Who is logged in to the site may call without a token, but no other site's page may do so in their name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asgi_llmgate import UsagePage, mount
from asgi_llmgate.testing.driver import call, http_scope
from tests.helpers import django_site
from tests.integrations.conftest import ASK

if TYPE_CHECKING:
    from tests.integrations.conftest import Company

application = django_site.ready()

import llmgate_django  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402
from django.contrib.sessions.models import Session  # noqa: E402
from django.db import connections  # noqa: E402
from django.test import Client, override_settings  # noqa: E402

STAFF = 'identity.provider == "django" && jwt.staff && "data" in jwt.groups'


@pytest.fixture(autouse=True)
def _people() -> Iterator[None]:
    ada = User.objects.create_user("ada", "ada@acme.test", "secret", is_staff=True)
    ada.groups.add(Group.objects.create(name="data"))
    User.objects.create_user("bob", password="secret")
    yield
    for model in (User, Group, Session):
        model.objects.all().delete()
    connections.close_all()


@pytest.fixture
def url(company: Company, serve: Callable[..., str]) -> Iterator[str]:
    setting = company.settings(auth={"django_session": True}, policy={"rules": [STAFF]})
    with override_settings(LLMGATE=setting):
        yield serve(llmgate_django.mount(application))


def cookie(name: str) -> str:
    client = Client()
    assert client.login(username=name, password="secret")
    return f"theme=dark; sessionid={client.cookies['sessionid'].value}"


def cookie_beside_the_loop(name: str) -> str:
    """For a thread of its own, whose connection nobody else closes."""
    try:
        return cookie(name)
    finally:
        connections.close_all()


def ask(url: str, cookie: str, **headers: str) -> httpx.Response:
    return httpx.post(f"{url}/llm/v1/messages", json=ASK, headers={"cookie": cookie, **headers})


def test_a_logged_in_person_is_known_to_the_rules(url: str, company: Company) -> None:
    assert ask(url, cookie("ada")).json()["content"][0]["text"] == "Hi."
    assert ask(url, cookie("bob")).status_code == 403
    assert "cookie" not in company.model.requests[0].headers


@pytest.mark.parametrize("sent", ["", "theme=dark", "sessionid=", "sessionid=made-up"])
def test_without_a_session_there_is_no_identity(url: str, sent: str) -> None:
    answer = ask(url, sent)
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        401,
        "authentication failure: no bearer token found",
    )


def test_a_session_that_has_ended_or_of_a_person_who_has_left_is_none(url: str) -> None:
    logged_out, left = cookie("ada"), cookie("ada")
    Session.objects.filter(session_key=logged_out.rpartition("=")[2]).delete()
    assert ask(url, logged_out).status_code == 401
    assert ask(url, left).status_code == 200
    User.objects.filter(username="ada").update(is_active=False)
    assert ask(url, left).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.test"}, 403),
        ({"content-type": "text/plain"}, 403),
        ({"content-type": "application/x-www-form-urlencoded"}, 403),
    ],
    ids=str,
)
def test_another_sites_page_cannot_spend_in_their_name(
    url: str, company: Company, headers: dict[str, str], status: int
) -> None:
    answer = ask(url, cookie("ada"), **headers)
    assert answer.status_code == status
    assert len(company.model.requests) == (1 if status == 200 else 0)
    if status == 403:
        assert answer.json()["error"]["message"].startswith("authentication failure: a cookie counts only on a same-")


def test_the_sites_own_address_as_origin_is_good(url: str) -> None:
    assert ask(url, cookie("ada"), origin=url).status_code == 200


def test_a_token_counts_before_a_session(company: Company, serve: Callable[..., str]) -> None:
    auth = {"django_session": True, "providers": [company.provider()]}
    setting = company.settings(auth=auth, policy={"rules": ['jwt.sub == "token"']})
    with override_settings(LLMGATE=setting):
        url = serve(llmgate_django.mount(application))
        assert ask(url, cookie("ada"), **company.bearer(sub="token")).status_code == 200
        assert ask(url, cookie("ada")).status_code == 403
        assert ask(url, cookie("ada"), authorization="Bearer x.y.z").status_code == 401


def test_a_rotated_secret_key_does_not_log_the_browser_out(url: str) -> None:
    before = cookie("ada")
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["of the tests"]):
        assert ask(url, before).status_code == 200
        assert ask(url, before).status_code == 200
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[]):
        assert ask(url, before).status_code == 401
    assert ask(url, before).status_code == 200


@pytest.mark.parametrize("engine", ["signed_cookies", "cached_db"])
def test_other_session_engines_work_too(url: str, engine: str) -> None:
    with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}"):
        assert ask(url, cookie("ada")).status_code == 200


def test_the_hosts_own_csrf_defence_and_session_are_as_before(url: str) -> None:
    with httpx.Client(base_url=url, headers={"cookie": cookie("ada")}) as browser:
        assert browser.get("/whoami").json()["user"] == "ada"
        assert browser.post("/page", data={"a": "b"}).status_code == 403


def test_rules_may_read_what_the_site_knows(company: Company, serve: Callable[..., str], tmp_path: Any) -> None:
    log = {"access_log": {"file": str(tmp_path / "log")}, "fields": {"mail": "jwt.email", "root": "jwt.superuser"}}
    setting = company.settings(auth={"django_session": True}, policy={"rules": [STAFF]}, usage=log)
    with override_settings(LLMGATE=setting):
        ask(serve(llmgate_django.mount(application)), cookie("ada"))
    line = (tmp_path / "log").read_text()
    for part in ('"jwt.sub":"ada"', '"jwt.iss":"django"', '"mail":"ada@acme.test"', '"root":false'):
        assert part in line


@pytest.mark.parametrize(
    ("who", "staff", "status"),
    [("ada", True, 200), ("bob", True, 403), ("bob", False, 200), ("", True, 303)],
)
async def test_a_usage_page_is_for_who_is_logged_in(who: str, staff: bool, status: int, tmp_path: Path) -> None:
    page = UsagePage(f"sqlite:///{tmp_path}/ledger.db", page_auth=llmgate_django.page_auth(staff=staff))
    app = mount(application, "/llm-usage", page)
    headers = {"cookie": await asyncio.to_thread(cookie_beside_the_loop, who)} if who else {}
    reply = await call(app, "GET", "/llm-usage/", headers=headers)
    assert reply.status == status
    assert reply.headers.get("location") == (None if who else "/accounts/login/?next=%2Fllm-usage%2F")
    await page.shutdown()


async def test_what_a_viewer_is_shown_may_hang_on_their_groups(tmp_path: Path) -> None:
    viewer = await llmgate_django.page_auth()(
        http_scope(headers={"cookie": await asyncio.to_thread(cookie_beside_the_loop, "ada")})
    )
    assert isinstance(viewer, Mapping)
    assert (viewer["sub"], viewer["groups"], viewer["staff"]) == ("ada", ["data"], True)
