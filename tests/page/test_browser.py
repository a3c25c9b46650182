"""The page in a real browser: it keeps to its own policy, fits its window, and can be used without a mouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asgi_llmgate import mount
from asgi_llmgate.page import OneTimeLink, UsagePage
from asgi_llmgate.usage.ledger import Database
from tests.helpers.chromium import Page, chromium
from tests.page.test_flagged import JUDGED

pytestmark = pytest.mark.browser

CONTRAST = """
(() => {
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parse = text => {
    const n = text.match(/[\\d.]+/g).map(Number);
    return n.length < 4 || n[3] > 0.99 ? n : null;
  };
  const behind = e => parse(getComputedStyle(e).backgroundColor) || behind(e.parentElement);
  const poor = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()) || e.closest('title')) continue;
    const style = getComputedStyle(e);
    const front = parse(e.closest('svg') ? style.fill : style.color), back = behind(e);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(e.outerHTML.slice(0, 80));
  }
  return poor;
})()
"""
"""Texts whose contrast is under what https://www.w3.org/TR/WCAG22/#contrast-minimum asks."""


async def host(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the page is not the host's")


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture
def url(serve: Callable[..., str], page: Callable[..., UsagePage], database: Database) -> str:
    database.insert(JUDGED[1:2])
    return serve(mount(host, "/llm-usage", page())) + "/llm-usage/"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 390])
def test_it_fits_and_can_be_read(tab: Page, url: str, width: int, scheme: str, tmp_path: Path) -> None:
    tab.look(width=width, scheme=scheme)
    tab.open(url)
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")
    assert tab.run(CONTRAST) == []
    dark = tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(15, 20, 27)"
    assert dark == (scheme == "dark")
    tab.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_against_the_policy(tab: Page, url: str) -> None:
    tab.requested.clear()
    tab.console.clear()
    tab.open(url)
    assert {each.removeprefix(url) for each in tab.requested} <= {"", "style.css"}
    assert tab.console == []


def test_an_injected_script_would_not_run(tab: Page, url: str) -> None:
    tab.open(url)
    tab.run("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))")
    assert tab.run("window.ran === undefined")


def test_filters_work_by_keyboard(tab: Page, url: str) -> None:
    tab.look(width=1280)
    tab.open(url)
    tab.run("document.querySelector('select[name=team]').focus()")
    tab.run("document.activeElement.value = 'search'")
    tab.run("document.querySelector('form button').focus()")
    tab.follow("document.querySelector('form').requestSubmit()")
    assert tab.run("location.search") == "?range=24h&team=search&user=&model=&outcome=&reason="
    assert tab.run("document.querySelector('.tiles dd').textContent") == "2"
    assert tab.run("document.querySelector('select[name=team]').value") == "search"


def test_a_keyboard_reaches_everything_and_shows_where_it_is(tab: Page, url: str) -> None:
    tab.look(width=1280)
    tab.open(url)
    reached = []
    for _ in range(80):
        tab.press("Tab", 9)
        where = tab.run(
            "(e => e === document.body ? null : [e.tagName, e.textContent.trim().slice(0, 20),"
            " getComputedStyle(e).outlineStyle])(document.activeElement)"
        )
        if where is None:
            break
        reached.append(where)
    assert reached[0][:2] == ["A", "Skip to the latest c"]
    assert {"A", "SELECT", "BUTTON", "SUMMARY", "DIV"} <= {tag for tag, _, _ in reached}
    assert all(outline != "none" for _, _, outline in reached)


def test_a_screen_reader_hears_names_for_what_it_finds(tab: Page, url: str) -> None:
    tab.open(url)
    nodes = tab("Accessibility.getFullAXTree")["nodes"]
    wanted = {"image", "combobox", "navigation", "region", "button", "link", "table"}
    named: dict[str, list[str]] = {}
    for node in nodes:
        role = node.get("role", {}).get("value")
        if role in wanted and not node.get("ignored"):
            named.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    assert "Requests over the last 24 hours; the numbers are in the table below" in named["image"]
    assert named["combobox"][:1] == ["Team"]
    assert "Range of time" in named["navigation"]
    assert all(name for role in ("image", "combobox", "button", "link", "region") for name in named[role])


def test_the_one_time_link_logs_a_browser_in(
    tab: Page, serve: Callable[..., str], page: Callable[..., UsagePage]
) -> None:
    link = OneTimeLink()
    base = serve(mount(host, "/llm-usage", page(page_auth=link))) + "/llm-usage"
    way = base + link.path()
    tab.open(way)
    assert tab.run("location.href") == base + "/?range=24h"
    assert tab.run("document.querySelector('h1').textContent") == "LLM usage"
    assert tab.run("document.cookie") == ""
    tab.open(base + "/?range=7d")
    assert tab.run("document.title") == "LLM usage, last 7 days"
    tab("Network.clearBrowserCookies")
    tab.open(way)
    assert "this login link has been used" in tab.run("document.body.textContent")
