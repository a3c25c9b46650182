"""The one-time link: good once, and the cookie that it leaves."""

from __future__ import annotations

import pytest

from asgi_llmgate.page import OneTimeLink
from asgi_llmgate.page.login_link import COOKIE
from asgi_llmgate.testing.driver import http_scope


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def follow(link: OneTimeLink, path: str, *, method: str = "GET", scheme: str = "http") -> str | None:
    scope = http_scope(method, "/llm-usage/", query=path.partition("?")[2], root_path="/llm-usage")
    return link.redeem({**scope, "scheme": scheme})


def come_with(link: OneTimeLink, cookie: str) -> bool:
    return link(http_scope(headers={"cookie": f"other=1; {cookie}"}))


def test_a_link_works_once_and_leaves_a_cookie_that_works_again() -> None:
    link = OneTimeLink()
    path = link.path()
    cookie = follow(link, path)
    assert cookie is not None
    assert follow(link, path) is None
    pair, *attributes = cookie.split("; ")
    assert attributes == ["Path=/llm-usage", "Max-Age=86400", "HttpOnly", "SameSite=Strict"]
    assert come_with(link, pair)
    assert come_with(link, pair)
    assert path.partition("=")[2] not in cookie


def test_over_https_the_cookie_stays_there() -> None:
    link = OneTimeLink()
    cookie = follow(link, link.path(), scheme="https")
    assert cookie is not None
    assert cookie.endswith("; Secure")


def test_a_look_at_the_link_does_not_use_it_up() -> None:
    link = OneTimeLink()
    path = link.path()
    assert follow(link, path, method="HEAD") is None
    assert follow(link, path) is not None


@pytest.mark.parametrize("cookie", ["", f"{COOKIE}=", f"{COOKIE}=guess", f"{COOKIE}=\ud800", "=;;=", f"{COOKIE}"])
def test_other_cookies_open_nothing(cookie: str) -> None:
    link = OneTimeLink()
    follow(link, link.path())
    scope = http_scope()
    scope["headers"].append((b"cookie", cookie.encode("utf-8", "replace")))
    assert not link(scope)


def test_a_key_is_no_cookie_and_the_other_way_round() -> None:
    link = OneTimeLink()
    path = link.path()
    assert not come_with(link, f"{COOKIE}={path.partition('=')[2]}")
    cookie = follow(link, path)
    assert cookie is not None
    assert follow(link, "/?key=" + cookie.partition("=")[2].partition(";")[0]) is None


def test_both_end() -> None:
    clock = Clock()
    link = OneTimeLink(lifetime=60, now=clock)
    late, path = link.path(), link.path()
    cookie = follow(link, path)
    assert cookie is not None
    clock.now += 61
    assert follow(link, late) is None
    assert not come_with(link, cookie.partition(";")[0])
